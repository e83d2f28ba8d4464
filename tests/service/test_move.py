"""A service moves between one machine and several: nothing is lost, wherever the move ends."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from service import move as wiring
from service.domain.errors import StoreBroken, StoreFull
from service.move import move_from, move_to
from service.preparation import lock_data_dir, prepare
from service.settings import Settings
from service.storage import Storage
from service.store import identity, moving
from service.store.dataset_files import DatasetFiles
from service.store.hosts import HostStore
from service.store.identity import identity_of
from service.store.jobs import JobStore
from service.store.moving import MARKED
from service.store.sql import copying
from service.store.sql.database import Database
from tests.conftest import submission
from tests.support.job_records import content, query
from tests.support.moved_service import empty, files, make_original, opened, tables

MOVED_CODE = {module.__file__ for module in (wiring, moving, copying, identity)}


class Killed(BaseException):
    """The process dies."""


@contextmanager
def dying_at(line: int) -> Iterator[list[int]]:
    """Raise `Killed` at the n-th line that is executed of the code of moves; count the lines."""
    count = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in MOVED_CODE:
            return None
        if event == "line":
            count[0] += 1
            if count[0] == line:
                raise Killed
        return trace

    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(None)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with something of everything."""
    place = tmp_path_factory.mktemp("original")
    make_original(place)
    return place


@pytest.fixture
def source(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "source"))


@pytest.fixture
def shared(postgres_url: str, bucket_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "api", database_url=postgres_url, artifacts_url=bucket_url)


def ignore(_: str) -> None:
    """Take notes of nothing."""


def last_numbers(database: Database) -> dict[str, int]:
    with database.read() as transaction:
        return {
            name: database.engine.last_number(transaction, name, column)
            for name, column in (("jobs", "number"), ("events", "seq"), ("datasets", "number"))
        }


def test_a_service_that_moves_there_and_back_is_the_same(
    source: Path, shared: Settings, tmp_path: Path
) -> None:
    with opened(source) as database:
        numbers = last_numbers(database)
    moved = move_from(source, shared, ignore)
    assert moved.lost == []
    assert moved.datasets == 3, "two that are ready and one that waits"
    with opened(source) as database, closing(Storage(shared)) as storage:
        expected = tables(database)
        assert tables(storage.database) == expected
        assert last_numbers(storage.database)["jobs"] == numbers["jobs"] == 9
        same = [
            identity_of(it, where)
            for it, where in ((database, source), (storage.database, shared.data_dir))
        ]
        assert same[0].instance == same[1].instance
        assert same[0].session_secret == same[1].session_secret
    back = move_to(tmp_path / "back", shared, ignore)
    assert (back.rows, back.files, back.bytes) == (moved.rows, moved.files, moved.bytes)
    with opened(tmp_path / "back") as database:
        assert tables(database) == expected
        assert last_numbers(database)["jobs"] == 9
    assert files(tmp_path / "back") == files(source)
    assert (tmp_path / "back" / "instance").read_text() == same[0].instance


def test_work_under_way_is_queued_again_and_its_worker_is_refused(
    source: Path, shared: Settings
) -> None:
    with opened(source) as database:
        [(running,)] = query(database, "SELECT id FROM jobs WHERE state = 'running'")
    move_from(source, shared, ignore)
    with closing(Storage(shared)) as storage:
        job = JobStore(storage.database).get(running)
    assert (job.state, job.lost_workers) == ("queued", 0)
    assert job.reason is not None
    assert job.reason.message == "The service was moved."


def test_numbers_of_deleted_rows_are_not_used_again(source: Path, shared: Settings) -> None:
    move_from(source, shared, ignore)
    with closing(Storage(shared)) as storage:
        submission(JobStore(storage.database))
        [(number,)] = query(storage.database, "SELECT max(number) FROM jobs")
        [(seq,)] = query(storage.database, "SELECT max(seq) - min(seq) FROM events")
    assert number == 10, "the ninth has been deleted"
    assert seq > 0


def test_a_move_that_dies_anywhere_is_finished_by_the_next_one(
    original: Path, shared: Settings, tmp_path: Path
) -> None:
    lines = [1]
    directory = tmp_path / "source"
    shutil.copytree(original, directory)
    with opened(directory) as database:
        count = _lines_of_a_move(directory, shared, database)
    for target in ("there", "back"):
        for line in range(7, count, max(1, count // 6)):
            lines.append(line)
            _die_and_repeat(target, line, directory, shared, tmp_path / f"{target}-{line}")
    assert len(lines) > 10


def _lines_of_a_move(directory: Path, shared: Settings, database: Database) -> int:
    with dying_at(-1) as count:
        move_from(directory, shared, ignore)
    with closing(Storage(shared)) as storage:
        assert tables(storage.database) == tables(database)
    return count[0]


def _die_and_repeat(which: str, line: int, directory: Path, shared: Settings, place: Path) -> None:
    """Die at a line of a move, look at what is there, and repeat the move."""
    action: Callable[[], Any]
    if which == "there":
        empty(shared)
        action = lambda: move_from(directory, shared, ignore)  # noqa: E731
    else:
        action = lambda: move_to(place, shared, ignore)  # noqa: E731
    with pytest.raises(Killed), dying_at(line):
        action()
    target = shared if which == "there" else Settings(data_dir=place)
    with closing(Storage(target)) as storage:
        database = storage.database
        is_empty = not database.has_table("jobs") or not tables(database)["jobs"].rows
        is_marked = database.has_table("unfinished_move") and query(database, MARKED) != []
        assert not is_marked or is_empty, "rows come with the end of the move"
        if is_empty:
            action()
        with opened(directory) as expected:
            assert tables(database) == tables(expected)
        assert query(database, MARKED) == []
    if which == "back":
        assert files(place) == files(directory)


def test_a_target_that_holds_something_is_refused_and_left_alone(
    source: Path, shared: Settings
) -> None:
    with closing(Storage(shared)) as storage:
        submission(JobStore(storage.database))
        before = content(storage.database)
        with pytest.raises(StoreBroken, match=r"already holds something \(jobs, .*empty database"):
            move_from(source, shared, ignore)
        assert content(storage.database) == before


def test_places_that_are_used_are_refused(source: Path, shared: Settings, tmp_path: Path) -> None:
    with (
        closing(lock_data_dir(source)),
        pytest.raises(StoreBroken, match="uses the data directory"),
    ):
        move_from(source, shared, ignore)
    with closing(Storage(shared)) as storage:
        hosts = HostStore(storage.database)
        hosts.join("0" * 16, "node-7", 4, 2**30, "1.0")
        with pytest.raises(StoreBroken, match=r"servers or hosts use .*node-7"):
            move_from(source, shared, ignore)
        with pytest.raises(StoreBroken, match=r"servers or hosts use .*node-7"):
            move_to(tmp_path / "new", shared, ignore)
        hosts.leave("0" * 16)


def test_a_source_that_changes_meanwhile_is_refused(
    source: Path, shared: Settings, tmp_path: Path
) -> None:
    move_from(source, shared, ignore)

    def submit_meanwhile(what: str) -> None:
        if "rows" in what:
            with closing(Storage(shared)) as storage:
                submission(JobStore(storage.database))

    with pytest.raises(StoreBroken, match="was used while it was being moved"):
        move_to(tmp_path / "new", shared, submit_meanwhile)
    with pytest.raises(StoreBroken, match=r"was interrupted.*repeat the same"):
        prepare(Settings(data_dir=tmp_path / "new"))
    moved = move_to(tmp_path / "new", shared, ignore)
    with opened(tmp_path / "new") as database, closing(Storage(shared)) as storage:
        assert tables(database) == tables(storage.database)
    assert moved.lost == []


def test_a_server_that_starts_at_the_target_meanwhile_ends_the_move(
    source: Path, shared: Settings
) -> None:
    def start_meanwhile(what: str) -> None:
        if "rows" in what:
            with closing(Storage(shared)) as storage:
                HostStore(storage.database).join("1" * 16, "node-8", 0, 0, "1.0")

    with pytest.raises(StoreBroken, match=r"servers or hosts use .*node-8"):
        move_from(source, shared, start_meanwhile)
    with pytest.raises(StoreBroken, match=r"was interrupted.*repeat the same"):
        prepare(shared)
    with closing(Storage(shared)) as storage:
        assert HostStore(storage.database).users() == ["node-8"], "who was refused has left"
        HostStore(storage.database).leave("1" * 16)
        move_from(source, shared, ignore)
        prepare(shared)
        assert HostStore(storage.database).users() != []


def test_a_file_that_is_damaged_in_the_source_is_named_and_its_row_stays(
    source: Path, shared: Settings
) -> None:
    [damaged, missing, *_] = sorted((source / "jobs").rglob("*.safetensors"))
    damaged.write_bytes(b"not what was written")
    missing.unlink()
    arrays = next(path for path in (source / "datasets").rglob("test.labels.npy"))
    digest = arrays.parent.name.removeprefix("sha256-")
    arrays.chmod(0o644)
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"\xff")
    moved = move_from(source, shared, ignore)
    keys = {str(path.relative_to(source / "jobs")) for path in (damaged, missing)}
    assert set(moved.lost) == keys | {digest}
    with opened(source) as database, closing(Storage(shared)) as storage:
        assert tables(storage.database) == tables(database)


def test_a_disk_that_fails_is_told_and_the_move_is_finished_by_the_next_one(
    source: Path, shared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    with monkeypatch.context() as patch:
        patch.setattr(DatasetFiles, "export", full)
        with pytest.raises(StoreFull, match=r"copy data sets and uploads.*No space left"):
            move_from(source, shared, ignore)
    with pytest.raises(StoreBroken, match=r"was interrupted.*repeat the same"):
        prepare(shared)
    move_from(source, shared, ignore)
    with opened(source) as database, closing(Storage(shared)) as storage:
        assert tables(storage.database) == tables(database)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "set MLP_DATABASE_URL to postgresql"),
        ({"database_url": "postgresql://127.0.0.1:9/mlp"}, "set MLP_ARTIFACTS_URL"),
    ],
)
def test_a_move_needs_both_places(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(StoreBroken, match=problem):
        move_from(tmp_path, Settings(data_dir=tmp_path, **settings), ignore)


def test_a_directory_without_a_service_is_refused(tmp_path: Path, shared: Settings) -> None:
    with pytest.raises(StoreBroken, match="there is no directory"):
        move_from(tmp_path / "typo", shared, ignore)
    assert not (tmp_path / "typo").exists()
    with pytest.raises(StoreBroken, match="there is no database in"):
        move_from(tmp_path, shared, ignore)
