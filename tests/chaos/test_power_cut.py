"""Power cuts: every state of the file system that one may leave behind during a recorded run."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pytest

from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import QUICK, submit
from tests.support.campaign import Campaign
from tests.support.job_records import claim
from tests.support.syscall_tracing import Op, needs_strace, recorded

pytestmark = needs_strace


# --- A model of the file system ---


@dataclass
class Inode:
    """A file's bytes or a directory: how often it was written, and how much of that is durable."""

    total: int
    """The number of writes after which it is complete."""
    born: int
    """The number of commits before it was created."""
    writes: int = 0
    """The number of writes so far."""
    synced: int = 0
    """The number of writes before its last sync."""

    def choices(self) -> list[int | None]:
        """Return what a power cut may leave: all writes, those synced, or a mixture (None)."""
        return [self.writes] if self.writes == self.synced else [self.writes, self.synced, None]


@dataclass
class Disk:
    """Names and bytes, and what a power cut may leave of each.

    Every value that a name has had since its directory was last synced may be the one that is left,
    whatever is left of other names, because POSIX promises no order among them.
    """

    names: dict[Path, list[Inode | None]] = field(default_factory=dict)
    made: list[Inode] = field(default_factory=list)

    def fates(self, path: Path) -> list[Inode | None]:
        return self.names.get(path, [None])

    def apply(self, op: Op, totals: list[int], commits: int) -> None:
        inode = self.fates(op.path)[-1]
        if op.kind == "mkdir" or (op.kind == "create" and inode is None):
            total = totals[len(self.made)] if totals else 0
            self.made.append(Inode(total, commits))
            self._name(op.path, self.made[-1])
        elif op.kind == "unlink":
            self._name(op.path, None)
        elif op.kind == "rename":
            assert op.to
            self._name(op.to, inode)
            self._name(op.path, None)
        elif op.kind in ("write", "ftruncate") and inode:
            inode.writes += 1
        elif op.kind == "fsync":
            self._sync(op.path, inode)

    def _name(self, path: Path, inode: Inode | None) -> None:
        self.names.setdefault(path, [None]).append(inode)

    def _sync(self, path: Path, inode: Inode | None) -> None:
        if inode:
            inode.synced = inode.writes
        for name in self.names:
            if name.parent == path:
                self.names[name] = self.names[name][-1:]


@dataclass(frozen=True)
class Run:
    """A recorded run: its operations, and the keys that rows named after each of its commits."""

    folder: Path
    ops: list[Op]
    marks: list[list[str]]

    @property
    def database(self) -> Path:
        return self.folder / "jobs.sqlite3"

    @property
    def journal(self) -> Path:
        return self.folder / "jobs.sqlite3-journal"

    @cached_property
    def totals(self) -> list[int]:
        """Return how often each file is written, in the order in which they are made."""
        disk = Disk()
        for op in self.ops:
            disk.apply(op, [], 0)
        return [inode.writes for inode in disk.made]

    def is_commit(self, op: Op) -> bool:
        return op.kind == "unlink" and op.path == self.journal

    def is_mark(self, op: Op) -> bool:
        return op.kind == "create" and op.path.parent.name == "marks"

    def next_mark(self, at: int) -> list[str]:
        numbers = (int(op.path.name) for op in self.ops[at:] if self.is_mark(op))
        return self.marks[next(numbers, -1)]


class Outage:
    """Cuts the power after each operation of a run, and checks every state that may be left."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.states = 0
        self.bad: list[str] = []
        self._disk = Disk()
        self._commits = [0]  # how often the database's file was written, at the end of each
        self._named: list[list[str]] = [[]]  # keys that rows name, after each
        self._acknowledged = 0

    def enumerate(self) -> "Outage":
        for at, op in enumerate(self.run.ops):
            self._disk.apply(op, self.run.totals, len(self._commits) - 1)
            if self.run.is_commit(op):
                database = self._disk.fates(self.run.database)[-1]
                assert database
                self._commits.append(database.writes)
                marks = (
                    int(mark.path.name) for mark in self.run.ops[at:] if self.run.is_mark(mark)
                )
                self._named.append(self.run.marks[next(marks, -1)])
            if self.run.is_mark(op):
                self._acknowledged = len(self._commits) - 1
            self._look(f"{at} ({op.kind} {op.path.name})")
        return self

    def _look(self, when: str) -> None:
        for commit in self._recovered():
            keys = [] if commit is None else self._named[commit]
            fates = [sorted(set(self._fates(key))) for key in keys]
            for whole in itertools.product(*fates):
                self.states += 1
                if not all(whole):
                    self.bad.append(f"after {when}: a named file is missing, short or wrong")
            if commit is None:
                self.bad.append(f"after {when}: the database is damaged")
            elif commit < self._acknowledged:
                self.bad.append(f"after {when}: an acknowledged commit is lost")

    def _recovered(self) -> Iterator[int | None]:
        """Yield the commit that SQLite recovers in each state; None if the database is damaged.

        A complete journal is rolled back. If it is incomplete or missing, nothing is rolled back.
        """
        for database in self._disk.fates(self.run.database):
            for journal in self._disk.fates(self.run.journal):
                for left in journal.choices() if journal else [None]:
                    for content in database.choices() if database else [0]:
                        if journal and left == journal.total:
                            yield self._rolled_back(journal, database)
                        else:
                            yield self._commit_of(content)

    def _commit_of(self, writes: int | None) -> int | None:
        """Return the commit whose end left the database with that many writes."""
        return self._commits.index(writes) if writes in self._commits else None

    def _rolled_back(self, journal: Inode, database: Inode | None) -> int | None:
        """Return the commit before a journal's, unless a later one has written to the database."""
        ends = self._commits[journal.born + 1 : journal.born + 2]
        later = bool(ends) and database is not None and database.writes > ends[0]
        return None if later else journal.born

    def _fates(self, key: str) -> Iterator[bool]:
        """Yield, for each state that may be left of the file, whether it is whole."""
        path = self.run.folder / "jobs" / key
        folders = [folder for folder in path.parents if self.run.folder in folder.parents]
        if any(None in self._disk.fates(folder) for folder in folders):
            yield False
        for inode in self._disk.fates(path):
            if inode is None:
                yield False
            else:
                yield from (left == inode.total for left in inode.choices())


# --- The campaign ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two attempts at one job that save whenever they can: see `checkpoint_saver`."""
    folder = tmp_path_factory.mktemp("run") / "data"
    ops = recorded(folder, ["-m", "tests.support.checkpoint_saver", str(folder)])
    marks = sorted((folder / "marks").iterdir())
    return Run(folder, ops, [json.loads(mark.read_text()) for mark in marks])


def test_no_power_cut_leaves_a_row_without_its_file_or_undoes_a_commit(
    run: Run, campaign: Campaign
) -> None:
    outage = Outage(run).enumerate()
    saves = sum(op.kind == "rename" for op in run.ops)
    drops = sum(op.kind == "unlink" and op.path.suffix == ".safetensors" for op in run.ops)
    campaign.figure(
        "bad states after power cuts",
        target="0",
        measured=f"{len(outage.bad)} of {outage.states} ({saves} saves, {drops} deletions)",
        met=not outage.bad,
    )
    assert outage.bad == []
    assert saves > 4
    assert drops > 2
    assert outage.states > len(run.ops)


def without(run: Run, unwanted: Callable[[int, Op], bool]) -> Run:
    return replace(run, ops=[op for at, op in enumerate(run.ops) if not unwanted(at, op)])


def deleting_first(run: Run) -> Run:
    """Return the run with files deleted before the commit that drops them."""
    ops: list[Op] = []
    begins = 0
    for op in run.ops:
        if op.kind == "create" and op.path == run.journal:
            begins = len(ops)
        if op.kind == "unlink" and op.path.suffix == ".safetensors":
            ops.insert(begins, op)
        else:
            ops.append(op)
    return replace(run, ops=ops)


def syncs(name: str) -> Callable[[Run], Run]:
    return lambda run: without(run, lambda _, op: op.kind == "fsync" and op.path.match(name))


WEAKER: dict[str, Callable[[Run], Run]] = {
    "file not synced": syncs("*.tmp"),
    "folder of the file not synced": syncs("jobs/*/1"),
    "folder of the attempt not synced": syncs("jobs/job_*"),
    "folder of the job not synced": syncs("data/jobs"),
    "journal not synced": syncs("*-journal"),
    "database not synced": syncs("*.sqlite3"),
    "synchronous=FULL": lambda run: without(
        run, lambda at, op: op.path == run.folder and run.is_commit(run.ops[at - 1])
    ),
    "deleted before the commit": deleting_first,
}


@pytest.mark.parametrize("weaker", WEAKER.values(), ids=WEAKER)
def test_the_model_finds_the_losses_of_a_weaker_order(
    run: Run, weaker: Callable[[Run], Run]
) -> None:
    assert Outage(weaker(run)).enumerate().bad != []


def test_a_save_makes_its_calls_in_this_order(
    run: Run,
    tmp_path: Path,
    database: Database,
    database_url: str,
    datasets_dir: Path,
    campaign: Campaign,
) -> None:
    ops = run.ops
    if campaign.full:  # the calls of a real worker process
        job = submit(JobStore(database), **QUICK)
        claim(database, job)
        environment = {"MLP_DATABASE_URL": database_url, "MLP_DATASETS_DIR": str(datasets_dir)}
        environment["MLP_ARTIFACTS_URL"] = str(tmp_path / "jobs")
        program = ["-m", "service.work.worker", job, "--attempt", "1"]
        ops = recorded(tmp_path, program, **environment)
    renames = [at for at, op in enumerate(ops) if op.kind == "rename"]
    assert renames
    assert [order(ops, at) for at in renames] == [ORDER] * len(renames)


ORDER = [
    "write file",
    "fsync file",
    "rename file",
    "fsync folder",
    "create journal",
    "write journal",
    "fsync journal",
    "fsync data",
    "write journal",
    "fsync journal",
    "write database",
    "fsync database",
    "unlink journal",
    "fsync data",
]


def order(ops: list[Op], rename: int) -> list[str]:
    """Return the calls of the save with this rename, up to the end of its commit, in short."""
    folder = ops[rename].path.parent
    data = folder.parents[2]
    names = {data: "data", folder: "folder", data / "jobs.sqlite3": "database"}
    names |= {data / "jobs.sqlite3-journal": "journal", ops[rename].path: "file"}
    calls = [f"{op.kind} {names.get(op.path, op.path.name)}" for op in ops]
    end = calls.index("fsync data", calls.index("unlink journal", rename))
    begin = calls.index("write file")
    while "write file" in calls[begin + 1 : rename]:
        begin = calls.index("write file", begin + 1)
    # One commit may name several files, each of which was saved like this one before it.
    durable = calls.index("fsync folder", rename) + 1
    commit = calls.index("create journal", durable)
    own = calls[begin:durable] + calls[commit : end + 1]
    return [key for key, _ in itertools.groupby(own)]
