"""The recipes in deploy/: what schemas and the tools of their makers say, and what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from service.domain.job_state import State
from service.settings import Settings
from service.store.job_counts import count_demand
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work.dispatcher import DRAIN_SECONDS
from service.work.fleet import FleetSize
from tests.conftest import submit
from tests.support.external_programs import require_program
from tests.support.job_records import in_state

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = "1.37"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


KINDS = {f"{it['kind']} {it['metadata']['name']}": it for it in manifests("kubernetes.yaml")}


def pod_of(name: str) -> dict[str, Any]:
    return dict(KINDS[f"Deployment {name}"]["spec"]["template"]["spec"])


# --- Kubernetes and KEDA ---


@pytest.mark.parametrize("name", KINDS)
def test_kubernetes_knows_every_field_of_a_manifest(name: str) -> None:
    kubernetes_validate.validate(KINDS[name], KUBERNETES, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text().split("---")[1])
    wrong["spec"]["port"] = wrong["spec"].pop("ports")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", manifests("keda.yaml"), ids=lambda it: it["kind"])
def test_keda_knows_every_field_of_a_manifest(manifest: dict[str, Any]) -> None:
    """What its models do not know is not in what they read."""
    read = getattr(keda, manifest["kind"]).model_validate(manifest)
    assert read.model_dump(mode="json", by_alias=True, exclude_none=True) == manifest


@pytest.mark.parametrize("name", ["mlp-api", "mlp-host"])
def test_pods_have_no_privileges_and_write_only_to_volumes_of_their_own(name: str) -> None:
    pod = pod_of(name)
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("emptyDir" in volume for volume in pod["volumes"])
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data", "/tmp"]
    assert pod["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + 4
    assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False


def test_pods_get_only_settings_that_exist_and_secrets_from_one_place() -> None:
    secret = KINDS["Secret mlp-store"]["stringData"]
    names = {*secret}
    for name in ("mlp-api", "mlp-host"):
        [container] = pod_of(name)["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "mlp-store"}}]
        names |= {entry["name"] for entry in container.get("env", [])}
    ours = {name.removeprefix("MLP_").lower() for name in names if name.startswith("MLP_")}
    assert ours <= set(Settings.model_fields)
    assert {"MLP_DATABASE_URL", "MLP_ARTIFACTS_URL"} <= set(secret)


def test_servers_are_probed_and_reached_at_the_port_that_they_serve_on() -> None:
    [container] = pod_of("mlp-api")["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [8000]
    probes = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startupProbe": "/livez",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }
    service = KINDS["Service mlp-service"]["spec"]
    labels = KINDS["Deployment mlp-api"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"] == labels
    assert service["selector"] != KINDS["Deployment mlp-host"]["spec"]["selector"]["matchLabels"]


def test_a_host_has_a_core_for_each_slot() -> None:
    [container] = pod_of("mlp-host")["containers"]
    assert container["args"] == ["work", "--slots", container["resources"]["requests"]["cpu"]]


WAIT_IN_VAIN = "UPDATE jobs SET reason = :reason WHERE state = 'queued'"


def scaled() -> dict[str, Any]:
    [found] = [it["spec"] for it in manifests("keda.yaml") if it["kind"] == "ScaledObject"]
    return dict(found)


def test_keda_scales_the_hosts_by_the_connection_of_the_secret() -> None:
    assert f"Deployment {scaled()['scaleTargetRef']['name']}" in KINDS
    [auth] = [it for it in manifests("keda.yaml") if it["kind"] == "TriggerAuthentication"]
    [trigger] = scaled()["triggers"]
    assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]
    [secret] = auth["spec"]["secretTargetRef"]
    assert secret["key"] in KINDS[f"Secret {secret['name']}"]["stringData"]


def test_the_query_of_keda_wants_a_host_for_each_four_jobs_that_need_a_worker(
    postgres_url: str,
) -> None:
    database, size = Database(postgres_url), FleetSize(slots=4, most=16)
    [trigger] = scaled()["triggers"]
    assert (trigger["metadata"]["targetQueryValue"], scaled()["maxReplicaCount"]) == ("1", 16)
    jobs, queue = JobStore(database), Queue(database)

    def wanted() -> int:
        with database.read() as transaction:
            [row] = transaction.rows(trigger["metadata"]["query"])
        return int(row["ceil"])

    assert wanted() == 0
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PAUSED):
        in_state(database, state)
    assert wanted() == 0
    submit(jobs)
    for number in range(2, 12):
        submit(jobs)
        if number % 2:
            queue.claim()
        assert wanted() == size.wanted(count_demand(database, 100)) == -(-number // 4)
    with database.write() as transaction:
        too_large = {"code": "needs_memory", "message": ""}
        transaction.execute(WAIT_IN_VAIN, reason=too_large)
    assert wanted() == 2, "the five that run"
    database.close()


# --- Slurm ---


def test_shellcheck_finds_nothing_in_the_script_for_slurm() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [shellcheck, DEPLOY / "slurm.sh"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_slurm_reads_options_that_leave_time_to_save() -> None:
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", slurm(), re.MULTILINE))
    assert set(options) == {
        *("job-name", "ntasks", "cpus-per-task", "mem", "time", "signal", "output"),
    }
    who, number, seconds = re.split("[:@]", options["signal"])
    assert (who, number) == ("B", "TERM"), "the script itself gets it, which is the host by then"
    assert int(seconds) > DRAIN_SECONDS
    # Slurm stops reading at the first line that is a command.
    first = slurm().index("set -euo pipefail")
    assert "#SBATCH" not in slurm()[first:]


def slurm() -> str:
    return (DEPLOY / "slurm.sh").read_text()


def test_the_script_for_slurm_becomes_a_host_with_a_slot_for_each_core(tmp_path: Path) -> None:
    settings, fake = tmp_path / "settings", tmp_path / "mlp-service"
    settings.write_text("MLP_DATABASE_URL=postgresql://db.example/mlp\n")
    fake.write_text('#!/bin/sh\necho "$$ $@"; echo "$MLP_DATABASE_URL $MLP_DATASETS_DIR"\n')
    fake.chmod(0o755)
    environment = {"TMPDIR": str(tmp_path), "SLURM_CPUS_PER_TASK": "3", "SLURM_JOB_ID": "77"}
    environment |= {"MLP_ENVIRONMENT": str(settings), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", DEPLOY / "slurm.sh"], env=environment, stdout=subprocess.PIPE, text=True
    )
    output, _ = process.communicate(timeout=30)
    place = tmp_path / f"mlp-service-{os.getuid()}"
    assert output.splitlines() == [
        f"{process.pid} work --slots 3 --until-idle 300 --data-dir {place}/77",
        f"postgresql://db.example/mlp {place}/datasets",
    ]
    assert place.stat().st_mode & 0o777 == 0o700


# --- systemd ---


@pytest.fixture
def systemd_analyze() -> Path:
    return require_program("systemd-analyze", package="systemd")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_each_line_of_a_unit(
    systemd_analyze: Path, unit: Path, tmp_path: Path
) -> None:
    """The program is not installed here, so the unit is given one that is."""
    text = re.sub(r"(?<=^ExecStart=)\S+", sys.executable, unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_exposes_little(systemd_analyze: Path, unit: Path) -> None:
    command: list[str | Path] = [
        systemd_analyze,
        "security",
        "--offline=yes",
        "--threshold=20",
        unit,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_lets_workers_save_before_they_are_killed(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "KillMode=mixed" in lines, "only the service gets SIGTERM; it asks its workers"
    [seconds] = [line.partition("=")[2] for line in lines if line.startswith("TimeoutStopSec=")]
    assert int(seconds) >= DRAIN_SECONDS + 4


def test_server_and_host_of_one_machine_have_directories_of_their_own() -> None:
    named = [re.findall(r"^StateDirectory=(.*)$", unit.read_text(), re.MULTILINE) for unit in UNITS]
    assert sorted(name for names in named for name in names) == ["mlp-service", "mlp-service-host"]
    for unit, [name] in zip(UNITS, named, strict=True):
        assert f"Environment=MLP_DATA_DIR=%S/{name}" in unit.read_text().splitlines()


def test_every_recipe_is_described() -> None:
    described = re.findall(r"`([\w./-]+\.\w+)`", (DEPLOY / "README.md").read_text())
    files = {
        str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.suffix != ".md"
    } - {"systemd"}
    assert files <= set(described)
