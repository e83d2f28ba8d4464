"""Rolling upgrades of a cluster: a newer release migrates the database while the older one works.

The newer release is a copy of the package with one more migration, which only expands the schema.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.store.sql.migrate import REVISIONS, migrate
from tests.support.campaign import ROOT, Campaign
from tests.support.cluster import Cluster, HostProcess, cluster_at
from tests.support.postgresql_server import PostgresServer
from tests.support.s3_server import S3Server
from tests.support.server_process import eventually

NEXT = "9999"
MIGRATION = f'''"""What a release may do to the tables of the one before it"""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{REVISIONS[-1]}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("of_next", sa.Text()))
    op.add_column("hosts", sa.Column("of_next", sa.Integer(), nullable=False, server_default="7"))
    op.create_table("of_next", sa.Column("number", sa.Integer(), primary_key=True))
    op.create_index("ix_jobs_of_next", "jobs", ["of_next"])
'''
SPEC = {"preset": "mlp-relu", "epochs": 8, "seed": 3}
TRIED = (("work",), ("serve", "--port", "0"), ("migrate",))
QUICK = {"preset": "linear", "batch_size": 4096, "epochs": 1}
ENDS = """
SELECT jobs.id, count(*) FROM jobs JOIN events ON events.job = jobs.number
WHERE events.type = 'state' AND events.data ->> 'state' = 'succeeded' GROUP BY jobs.id
"""
GAPS = """
SELECT jobs.id FROM jobs LEFT JOIN epochs ON epochs.job = jobs.number
GROUP BY jobs.id, jobs.epochs_done HAVING count(epochs.number) <> jobs.epochs_done
"""


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package of the newer release is."""
    place = tmp_path_factory.mktemp("next")
    shutil.copytree(ROOT / "service", place / "service", ignore=shutil.ignore_patterns("*.pyc"))
    versions = place / "service" / "store" / "sql" / "migrations" / "versions"
    (versions / f"{NEXT}_next.py").write_text(MIGRATION)
    return place


def command(release: Path | None, cluster: Cluster, *words: str) -> subprocess.Popen[str]:
    """Start a command of a release with the settings of a cluster."""
    return subprocess.Popen(
        [sys.executable, "-m", "service", *words],
        env=os.environ | cluster.environment | ({"PYTHONPATH": str(release)} if release else {}),
        cwd=release or ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def upgrade(cluster: Cluster, release: Path, at_once: int) -> list[str]:
    """Migrate with the newer release, several times at once; return what each has applied."""
    migrating = [command(release, cluster, "migrate", "--json") for _ in range(at_once)]
    done = [process.communicate(timeout=120) for process in migrating]
    assert [process.returncode for process in migrating] == [0] * at_once, done
    records = [json.loads(output) for output, _ in done]
    assert {record["schema"] for record in records} == {NEXT}
    return [revision for record in records for revision in record["applied"]]


def leave(cluster: Cluster, hosts: list[HostProcess]) -> None:
    """Wait until hosts of the older release have ended, each with 0; its server must go on."""
    eventually(lambda: not any(host.is_running for host in hosts), "old hosts to end", 40)
    assert [host.exit_code for host in hosts] == [0] * len(hosts), hosts[0].log()
    assert cluster.http.get("/readyz").status_code == 200


def test_jobs_go_on_with_the_same_bits_while_a_cluster_is_upgraded(
    postgres: PostgresServer,
    s3: S3Server,
    bucket_url: str,
    datasets_dir: Path,
    tmp_path: Path,
    next_release: Path,
    campaign: Campaign,
) -> None:
    environment = {"MLP_ARTIFACTS_URL": bucket_url, **s3.environment}
    hosts, specs = campaign.of(1, 2), campaign.of([SPEC], [SPEC] * 8)
    attempts = Counter[int]()
    with campaign.cases("upgrades in which a job was lost, doubled or changed") as case:
        for number in range(campaign.of(1, 10)):
            url = postgres.url(postgres.create())
            migrate(url)
            place = tmp_path / str(number)
            place.mkdir()
            with case(), cluster_at(place, datasets_dir, url, environment) as cluster:
                done = roll(cluster, next_release, specs, hosts, kill_one=number % 2 == 1)
                attempts.update(job["attempt"] for job in done)
    given = sum(count for attempt, count in attempts.items() if attempt > 1)
    campaign.figure(
        "jobs that went on at a host of the newer release",
        target="most of those under way",
        measured=f"{given} of {attempts.total()}",
        met=given > 0,
    )


def roll(
    cluster: Cluster, release: Path, specs: list[dict[str, Any]], hosts: int, *, kill_one: bool
) -> list[dict[str, Any]]:
    """Upgrade a cluster while it trains; return its jobs when they have succeeded.

    With `kill_one`, the worker of a host that was killed works through the upgrade.
    """
    server = cluster.server("api")
    old = [cluster.host(f"old-{number}") for number in range(hosts)]
    accepted = [cluster.submit(**spec) for spec in specs]
    cluster.wait_for_epochs(accepted[0], 1)
    if kill_one:
        old.pop().kill()
    assert upgrade(cluster, release, hosts) == [NEXT], "one applies it"
    leave(cluster, old)
    accepted.append(cluster.submit(**(specs[0] if hosts > 1 else QUICK)))  # to the older server
    of_release = {"PYTHONPATH": str(release)}
    prefix, cluster.environment = ("env", "-C", str(release)), cluster.environment | of_release
    for number in range(hosts):
        cluster.host(f"new-{number}", prefix=prefix)
    if hosts > 1:
        server.terminate()
        server.prefix, server.environment = [*prefix], {**server.environment, **of_release}
        server.start()
    done = [cluster.wait(job, seconds=240) for job in accepted]
    assert {job["lost_workers"] for job in done} == {0}
    assert {job["bit_exact"] for job in done} == {True}
    same = {job["weights_sha256"] for job in done if job["spec"]["epochs"] == SPEC["epochs"]}
    assert len(same) == 1
    assert dict(cluster.query(ENDS)) == dict.fromkeys(accepted, 1), "each has ended once"
    assert cluster.query(GAPS) == []
    return done


def test_what_is_older_than_the_schema_says_so_and_does_not_start(
    cluster: Cluster, campaign: Campaign
) -> None:
    place = cluster.place / "late"
    place.mkdir()
    cluster.query("UPDATE alembic_version SET version_num = %s", NEXT)
    try:
        started = [
            command(None, cluster, *words, "--data-dir", str(place / words[0]))
            for words in campaign.of(TRIED[:1], TRIED)
        ]
        for process in started:
            _, error = process.communicate(timeout=120)
            assert process.returncode == 1
            assert "a newer version has migrated it" in error
            assert f"({NEXT}; the newest one here is {REVISIONS[-1]})" in error
    finally:
        cluster.query("UPDATE alembic_version SET version_num = %s", REVISIONS[-1])


def test_six_that_migrate_an_empty_database_at_once_make_one_schema(
    cluster: Cluster, postgres: PostgresServer, campaign: Campaign
) -> None:
    cluster.environment["MLP_DATABASE_URL"] = postgres.url(postgres.create())
    at_once = campaign.of(2, 6)
    migrating = [command(None, cluster, "migrate", "--json") for _ in range(at_once)]
    done = [process.communicate(timeout=120) for process in migrating]
    assert [process.returncode for process in migrating] == [0] * at_once, done
    applied = [json.loads(output)["applied"] for output, _ in done]
    assert sorted(applied, key=len) == [[]] * (at_once - 1) + [REVISIONS]
