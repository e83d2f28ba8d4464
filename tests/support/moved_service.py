"""A service with something of everything, as it moves between one machine and several."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from service.settings import Settings
from service.storage import Storage
from service.store.api_keys import ApiKeyStore
from service.store.kept_evaluations import KeptEvaluations
from service.store.sql.copying import COPIED, RowsDigest, digest_of_rows
from service.store.sql.database import Database
from tests.conftest import submission
from tests.support.evaluation_harness import EvaluationHarness
from tests.support.job_records import HANDLE, in_state, query
from tests.support.stored_datasets import DatasetHarness


def make_original(place: Path) -> None:
    """Fill a data directory with something of everything."""
    made = EvaluationHarness(place)
    job = made.train("ada")
    made.train("bob", seed=2)
    made.tasks.submit(made.question(job))
    attempt = made.attempt()
    made.evaluator(attempt).run(attempt.begin(HANDLE))
    made.tasks.submit(made.question(job, "train"))
    KeptEvaluations(made.database).keep(job, "k" * 64, '{"accuracy":0.75}')
    for state in ("queued", "paused", "cancelled", "failed", "running"):
        in_state(made.database, state)
    submission(made.jobs, key="once", body=b"spec")
    gone = in_state(made.database, "cancelled")
    made.jobs.delete(gone)
    ApiKeyStore(made.database).create("ada", ["read", "predict"])
    sets = DatasetHarness(made.database, place)
    sets.ready("letters", "ada")
    sets.send("waiting", "bob", b"a zip that waits for its check")
    sets.leftovers.sweep()
    made.close()
    shutil.rmtree(place / "datasets" / ".staging", ignore_errors=True)
    assert made.on_disk()


def tables(database: Database) -> dict[str, RowsDigest]:
    with database.read() as transaction:
        return {table.name: digest_of_rows(transaction, table) for table in COPIED}


def files(place: Path) -> dict[str, bytes]:
    """Return the files that rows name, as they lie in a data directory."""
    folders = ("jobs", "evaluations", "datasets", "uploads")
    found = [path for name in folders for path in (place / name).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in found
        if path.name[0] != "." and path.suffix != ".log" and "arranged" not in str(path)
    }


@contextmanager
def opened(directory: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{directory / 'jobs.sqlite3'}")) as database:
        yield database


def empty(shared: Settings) -> None:
    """Delete what was moved to a shared database."""
    with closing(Storage(shared)) as storage:
        names = ", ".join(table.name for table in COPIED)
        query(storage.database, f"TRUNCATE {names}, unfinished_move RESTART IDENTITY")
