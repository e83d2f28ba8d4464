"""API keys at rest: their form, what is stored of them, and which jobs their owners see."""

import hashlib
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command

from mlp_client.job_state import State
from service.domain.errors import JobNotFound, KeyNotFound
from service.store.api_keys import ApiKeyStore
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.migrate import migrate, migrations
from tests.conftest import submission, submit
from tests.support.job_records import content


@pytest.fixture
def keys(database: Database) -> ApiKeyStore:
    return ApiKeyStore(database)


def test_only_the_digest_of_a_keys_secret_is_stored(keys: ApiKeyStore, database: Database) -> None:
    made = keys.create("ada", ["train", "read"])
    found = re.fullmatch(r"mlp_([a-z0-9]{10})_([A-Za-z0-9_-]{43})", made)
    assert found
    [key] = keys.all()
    assert (key.id, key.owner, set(key.scopes)) == (found[1], "ada", {"read", "train"})
    assert key.secret_sha256 == hashlib.sha256(found[2].encode()).hexdigest()
    assert key.secret_sha256 not in repr(key)
    assert found[2].encode() not in content(database)


def test_keys_differ(keys: ApiKeyStore) -> None:
    assert len({keys.create("ada", ["read"])[-43:] for _ in range(5)}) == 5
    assert len({key.id for key in keys.all()}) == 5


def test_a_key_has_a_name_and_may_use_the_models_of_another_owner(keys: ApiKeyStore) -> None:
    keys.create("app", ["predict"], name="kiosk", models_of="teacher")
    [key] = keys.all()
    assert (key.owner, key.name, key.models_of) == ("app", "kiosk", "teacher")


@pytest.mark.parametrize("scopes", [["read"], ["predict", "read"], ["predict", "admin"], []])
def test_models_are_lent_only_to_keys_that_do_nothing_but_predict(
    keys: ApiKeyStore, scopes: list[str]
) -> None:
    with pytest.raises(ValueError, match="predict alone"):
        keys.create("app", scopes, models_of="teacher")
    assert keys.all() == []


def test_the_last_use_of_a_key_is_noted(keys: ApiKeyStore) -> None:
    used, _ = (keys.create("ada", ["read"])[4:14] for _ in range(2))
    at = datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC)
    keys.note_uses({used: at, "deleted": at})
    assert {key.id: key.last_used_at for key in keys.all() if key.last_used_at} == {used: at}


def test_a_key_expires_after_its_lifetime(keys: ApiKeyStore) -> None:
    keys.create("ada", ["read"])
    keys.create("ada", ["read"], timedelta(minutes=1))
    keys.create("ada", ["read"], timedelta(0))
    assert [key.expired for key in keys.all()] == [False, False, True]


def test_a_revoked_key_stays_and_keeps_the_time_of_the_first_revocation(keys: ApiKeyStore) -> None:
    keys.create("ada", ["read"])
    [key] = keys.all()
    keys.revoke(key.id)
    [first] = keys.all()
    keys.revoke(key.id)
    assert keys.all() == [first]
    assert first.revoked_at


def test_a_key_that_does_not_exist_cannot_be_revoked(keys: ApiKeyStore) -> None:
    with pytest.raises(KeyNotFound, match=r"'nope'.*keys list"):
        keys.revoke("nope")


def test_an_owner_sees_only_its_own_jobs(jobs: JobStore) -> None:
    ada, bob = (jobs.seen_by(owner, everything=False) for owner in ("ada", "bob"))
    nobody, admin = jobs.seen_by(None, everything=False), jobs.seen_by("ops", everything=True)
    made = [submit(store) for store in (jobs, ada, bob, admin)]
    seen = [{job.id for job in store.page(10).jobs} for store in (nobody, ada, bob, admin)]
    assert seen == [set(), {made[1]}, {made[2]}, set(made)]
    assert [store.counts()[State.QUEUED] for store in (nobody, ada, admin)] == [0, 1, 4]
    assert [jobs.get(id_).owner for id_ in made] == [None, "ada", "bob", "ops"]
    assert set(ada.news(made)) == {made[1]}


@pytest.mark.parametrize(
    "use",
    [
        lambda store, job: store.get(job),
        lambda store, job: store.page(5, after=job),
        lambda store, job: store.act("pause", job),
        lambda store, job: store.act("resume", job),
        lambda store, job: store.delete(job),
        lambda store, job: store.epochs(job),
        lambda store, job: store.events(job),
        lambda store, job: store.with_checkpoints(job),
    ],
)
def test_the_job_of_another_owner_is_not_found(
    jobs: JobStore, use: Callable[[JobStore, str], object]
) -> None:
    job = submit(jobs.seen_by("ada", everything=False))
    before = jobs.get(job)
    with pytest.raises(JobNotFound):
        use(jobs.seen_by("bob", everything=False), job)
    assert jobs.get(job) == before


def test_the_place_in_the_queue_counts_the_jobs_of_all(jobs: JobStore) -> None:
    submit(jobs.seen_by("ada", everything=False))
    bob = jobs.seen_by("bob", everything=False)
    assert bob.get(submit(bob)).queue_position == 2


def test_an_older_database_keeps_its_jobs_and_idempotency_keys(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    command.upgrade(migrations(url), "0001")
    old = sqlite3.connect(tmp_path / "jobs.sqlite3")
    old.execute(
        "INSERT INTO idempotency_keys VALUES ('mine', ?, 'job_1', 'the answer', '2999-01-01')",
        [hashlib.sha256(b"body").hexdigest()],
    )
    old.commit()
    old.close()
    migrate(url)
    database = Database(url)
    twin = submission(JobStore(database), "mine", b"body")
    assert (twin.job, twin.answer, twin.replayed) == ("job_1", "the answer", True)
    ada = JobStore(database).seen_by("ada", everything=False)
    assert not submission(ada, "mine", b"other").replayed
    database.close()
