"""Jobs that are claimed, trained and ended by a test, and a server in a thread of it."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from mlp_core import Epoch
from service.app import Application, create_app
from service.serve import Server
from service.settings import Settings
from service.store.attempts import FAILED, SUCCEEDED, Attempt
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.work.worker import Worker
from tests.conftest import submit
from tests.support.engines import artifacts_of, database_url_of, settings_of
from tests.support.server_process import eventually


def settings(data_dir: Path, datasets_dir: Path, **others: Any) -> Settings:
    """Settings of a service that trains nothing."""
    given = {**settings_of(data_dir), "concurrent_jobs": 0, **others}
    return Settings(data_dir=data_dir, datasets_dir=datasets_dir, **given)


def train(data_dir: Path, datasets_dir: Path, **spec: object) -> str:
    """Train a job to its end in this process; return its id."""
    database = Database(database_url_of(data_dir))
    migrate(database.url)
    submit(JobStore(database), **spec)
    attempt = claimed(database)
    checkpoints = CheckpointStore(artifacts_of(data_dir))
    worker = Worker(attempt, checkpoints, DatasetFiles(datasets_dir))
    worker.run(worker.begin())
    database.close()
    return attempt.job


def claimed(database: Database) -> Attempt:
    """Claim the oldest queued job as a dispatcher does, without starting a worker."""
    claim = Queue(database).claim()
    assert claim
    return Attempt(database, claim.job, claim.attempt)


def epoch(number: int, **values: float) -> Epoch:
    made = {"train_loss": 1 / number, "train_accuracy": 0.5, "test_loss": 1.5 / number}
    made |= {"test_accuracy": 0.4, "seconds": 0.25}
    return Epoch(number=number, **{**made, **values})


def record(attempt: Attempt, *numbers: int) -> None:
    attempt.heartbeat((numbers[-1], 0), [epoch(number) for number in numbers])


def succeed(attempt: Attempt) -> None:
    attempt.end(SUCCEEDED, ("epochs_done", "all epochs are done"))


def fail(attempt: Attempt) -> None:
    attempt.end(FAILED, ("diverged", "the loss is not finite"))


# --- A server in a thread, so that a test reaches its components ---


class Live:
    """The real server, listening on a port, and its store."""

    def __init__(self, made: Settings, **options: Any) -> None:
        self.app: Application = create_app(made)
        config = uvicorn.Config(self.app, port=0, log_config=None, **options)
        self.server = Server(config, self.app.state.components)
        self.thread = threading.Thread(target=self.server.run)
        self.database: Database = self.app.state.components.database
        self.jobs: JobStore = self.app.state.components.jobs

    def __enter__(self) -> "Live":
        self.thread.start()
        eventually(lambda: self.server.started, "the server's start")
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.http.close()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(15)
        assert not self.thread.is_alive()


# --- Server-sent events, read as the standard says (html.spec.whatwg.org, 9.2.6) ---


@dataclass
class Sent:
    event: str
    data: str
    id: str | None


def messages(lines: Iterable[str]) -> Iterator[Sent]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if not line:
            if "data" in fields:
                yield Sent(fields.get("event", "message"), fields["data"], fields.get("id"))
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
