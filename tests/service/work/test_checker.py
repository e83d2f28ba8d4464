"""The checker: what becomes of a data set, whatever happens to its check."""

import errno
import io
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.dataset_quota import DatasetQuota
from service.domain.dataset_state import DatasetState
from service.domain.errors import Replaced, StoreBroken
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.work import check_limits, checker
from service.work.check_limits import OutOfTime
from service.work.checker import Checker
from tests.support import small_uploads
from tests.support.engines import database_url_of
from tests.support.fake_workers import Clock
from tests.support.stored_datasets import DatasetHarness


@pytest.fixture
def sets(tmp_path: Path) -> Iterator[DatasetHarness]:
    database = Database(database_url_of(tmp_path))
    migrate(database.url)
    yield DatasetHarness(database, tmp_path)
    database.close()


def checked(sets: DatasetHarness, content: bytes) -> str:
    """Send a file and check it; return the name of the data set."""
    sets.send("shapes", data=content)
    found = Checker(sets.attempt(), sets.files)
    found.run(found.begin())
    return "shapes"


def test_files_that_are_lost_are_named_as_the_reason(sets: DatasetHarness) -> None:
    sets.send("shapes", data=small_uploads.npz())
    found = Checker(sets.attempt(), sets.files)
    task = found.begin()
    for file in task.files:
        file.path.unlink()
    assert found.run(task) == DatasetState.FAILED
    reason = sets.store.get("shapes").reason
    assert reason
    assert reason.code == "upload_lost"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every check raise an error."""

    def check(*_: object) -> None:
        raise error

    monkeypatch.setattr(checker, "check", check)


def test_a_good_file_becomes_a_data_set(sets: DatasetHarness) -> None:
    found = sets.store.get(checked(sets, small_uploads.npz()))
    assert found.state == DatasetState.READY, found.reason
    assert found.manifest is not None
    assert found.manifest.classes == small_uploads.CLASSES
    assert found.options["size"] == [12, 12]
    assert len(sets.store.open("shapes").train.labels) == 120
    layouts = [path.name for path in sets.files.folder(found.sha256 or "").glob("arranged-*")]
    assert len(layouts) == 1, "the first job need not arrange it"
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{found.sha256}"]


def test_a_set_whose_source_is_deleted_before_its_check_fails(sets: DatasetHarness) -> None:
    checked(sets, small_uploads.npz())
    source = sets.store.describe("shapes")
    derived: dict[str, Any] = {"dataset": "shapes", "manifest": source.manifest.as_record()}
    derived |= {"split": None, "classes": None, "rows": 3, "seed": 1}
    for name in ("few", "late"):
        sets.store.derive(name, source, {"from": derived}, "5" * 64)
    few = Checker(sets.attempt(), sets.files)
    assert few.run(few.begin()) == DatasetState.READY
    assert sets.store.describe("few").manifest.class_counts["train"] == [3, 3, 3]
    sets.store.delete("shapes")
    sets.leftovers.sweep()
    late = Checker(sets.attempt(), sets.files)
    assert late.run(late.begin()) == DatasetState.FAILED
    reason, report = sets.store.get("late").reason, sets.store.report("late")
    assert reason is not None
    assert report is not None
    assert reason.code == report["errors"][0]["code"] == "source_gone"
    assert "'shapes' was deleted" in reason.message
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{sets.store.describe('few').sha256}"]


def test_a_file_that_is_none_fails_with_places_and_hints(sets: DatasetHarness) -> None:
    name = checked(sets, small_uploads.folders()[:500])
    found, report = sets.store.get(name), sets.store.report(name)
    assert found.state == DatasetState.FAILED
    assert found.reason is not None
    assert report is not None
    [error] = report["errors"]
    assert error["code"] == found.reason.code
    assert error["detail"] in found.reason.message
    sets.leftovers.sweep()
    assert sets.on_disk() == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), "too_large", "300 MiB of memory"),
        (OutOfTime(), "too_large", "600 seconds"),
        (ZeroDivisionError("by nought"), "internal", "ZeroDivisionError: by nought"),
        (OSError(errno.EFBIG, "File too large"), "internal", "File too large"),
    ],
)
def test_a_check_that_breaks_fails_with_its_reason(
    sets: DatasetHarness,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: str,
    words: str,
) -> None:
    failing(monkeypatch, error)
    reason = sets.store.get(checked(sets, b"x")).reason
    assert reason is not None
    assert reason.code == code
    assert words in reason.message


def test_a_full_disk_is_not_the_fault_of_the_data_set(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StoreBroken, match="No space left"):
        checked(sets, b"x")
    assert sets.store.get("shapes").state == DatasetState.CHECKING


def test_a_checker_that_was_replaced_changes_nothing(sets: DatasetHarness) -> None:
    sets.send("shapes", data=small_uploads.npz())
    late = Checker(sets.attempt(), sets.files)
    task = late.begin()
    [active] = sets.queue.active()
    sets.queue.lose(active.job, active.attempt, "It was silent.")
    with pytest.raises(Replaced):
        late.run(task)
    assert sets.store.get("shapes").state == DatasetState.QUEUED
    sets.leftovers.collect(active.job)
    assert not sets.files.staged(active.job)


def test_a_set_that_is_over_the_quota_fails(tmp_path: Path) -> None:
    database = Database(database_url_of(tmp_path))
    migrate(database.url)
    arrays, packed = np.load(io.BytesIO(small_uploads.npz())), io.BytesIO()
    np.savez_compressed(packed, **arrays)
    assert len(packed.getvalue()) < 20_000 < 150 * 12 * 12
    sets = DatasetHarness(database, tmp_path, DatasetQuota(owner_bytes=20_000))
    found = sets.store.get(checked(sets, packed.getvalue()))
    assert (found.state, found.reason and found.reason.code) == ("failed", "over_quota")
    sets.leftovers.sweep()
    assert sets.on_disk() == []
    database.close()


def test_heartbeats_tell_how_far_the_check_is(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(), list[dict[str, Any]]()
    sets.send("shapes", data=b"x")
    attempt = sets.attempt()
    heartbeat = attempt.heartbeat

    def note(progress: dict[str, Any]) -> None:
        told.append(progress)
        heartbeat(progress)

    def check(*arguments: Any) -> None:
        progress = arguments[-1]
        for stage, done, of in (
            ("reading", 0, None),
            ("reading", 5, 10),
            ("reading", 6, 10),
            ("writing", 10, 10),
        ):
            progress(stage, done, of)
            clock.now += 0.3
        raise MemoryError

    monkeypatch.setattr(checker, "check", check)
    monkeypatch.setattr(attempt, "heartbeat", note)
    found = Checker(attempt, sets.files, clock)
    found.run(found.begin())
    assert [(each["stage"], each["fraction"]) for each in told] == [
        ("reading", 0.3),
        ("reading", 0.36),
    ], "the second and the fourth came less than half a second after a heartbeat"


def test_the_limits_of_a_checker_hold(tmp_path: Path) -> None:
    code = (
        "import os, resource; from service.work.check_limits import limit_check; limit_check();"
        "names = ('RLIMIT_AS', 'RLIMIT_DATA', 'RLIMIT_FSIZE', 'RLIMIT_CPU', 'RLIMIT_CORE');"
        "print(*(resource.getrlimit(getattr(resource, name))[0] for name in names), os.nice(0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *limits, nice = map(int, done.stdout.split())
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    size = 2 * 1024**3 if most == resource.RLIM_INFINITY else min(most, 2 * 1024**3)
    assert limits == [1024**3, 300 * 1024**2, size, 600, 0]
    assert nice == min(19, os.nice(0) + check_limits.NICENESS)


def test_a_checker_that_has_used_its_time_can_still_say_so() -> None:
    code = (
        "import resource, signal; from service.work import check_limits as limits;"
        "limits.PROCESSOR_SECONDS = 3; limits.limit_check()\n"
        "try:\n    sum(sum(range(10**6)) for _ in range(10**6))\n"
        "except limits.OutOfTime: print('out of time')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "out of time\n"


def test_a_checker_starts_without_slow_libraries() -> None:
    code = "import sys, service.work.checker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"sqlalchemy", "pydantic", "fastapi", "structlog", "matplotlib", "scipy"}
