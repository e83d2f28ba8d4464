"""Reading jobs, lists, epochs and events, compared with the service's own /livez."""

import asyncio
import base64
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Figure, figure
from benchmarks.serving import CORE, load, pin, processor_seconds, ratios, served
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submission
from tests.support.load import get
from tests.support.server_process import Server, resident

ROUNDS, TIMES, PARTS = 9, 15, 5
JOBS, EPOCHS, LISTENERS = 10_000, 10_000, 200
LISTEN_SECONDS = 20


@dataclass(frozen=True)
class Heard:
    """What 200 listeners cost the server for a while."""

    share: float
    """The share of a core, in percent."""
    held: float
    """Memory of the server, in MiB."""
    events: int


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        with served(place, MLP_CONCURRENT_JOBS="0") as server:
            job = _filled(server)
            figures = [*_rates(server, job), *_long_answers(server, job)]
        (place / "data").rename(place / "before")
        with served(place) as server:
            return [*figures, *_listeners(server)]


def _filled(server: Server) -> str:
    """Create 10 000 jobs, the first with 10 000 epochs; return its id."""
    database = Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")
    first = submission(JobStore(database), epochs=EPOCHS).job
    database.close()
    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite3")) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        others = ", ".join(name for name in names if name not in ("number", "id"))
        connection.execute(
            "WITH RECURSIVE counted(k) AS "
            "(SELECT 1 UNION ALL SELECT k + 1 FROM counted WHERE k < ?) "
            f"INSERT INTO jobs (id, {others}) SELECT 'job_' || k, {others} FROM counted, jobs "
            "WHERE jobs.number = 1",
            [JOBS - 1],
        )
        epochs = (
            (1, k, 1 / k, 1 - 1 / k, 1.5 / k, 1 - 2 / (k + 1), 0.25) for k in range(1, EPOCHS + 1)
        )
        connection.executemany("INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", epochs)
    return first


def _rates(server: Server, job: str) -> list[Figure]:
    pin(server.pid, {CORE})
    asked = {
        "/livez": "/livez",
        "a job": f"/v1/jobs/{job}",
        "a list of 50 of 10 000 jobs": "/v1/jobs?limit=50",
    }
    rounds = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, path in asked.items():
            rounds[name].append(load(server.port, [server.pid], get(path)).rate)
    return [
        figure(
            "a job: processor time, against /livez",
            ratios(rounds["/livez"], rounds["a job"]),
            "x",
            at_most=4,
        ),
        *(
            figure(f"{name}: requests in a second of processor time", rates, "")
            for name, rates in rounds.items()
        ),
    ]


def _long_answers(server: Server, job: str) -> list[Figure]:
    figures = []
    for kind in ("epochs", "epochs.csv"):
        took, size = [], 0
        for _ in range(TIMES):
            started = time.perf_counter()
            answer = server.http.get(f"/v1/jobs/{job}/{kind}")
            took.append(1000 * (time.perf_counter() - started))
            size = len(answer.content)
            assert answer.status_code == 200
        figures.append(figure(f"10 000 {kind}", took, "ms", note=f"{size / 1e6:.1f} MB"))
    return figures


def _listeners(server: Server) -> list[Figure]:
    """Measure 200 listeners while two jobs train on all cores: to one job each, and to all jobs."""
    jobs = [server.submit(preset="linear", epochs=10_000, seed=seed) for seed in (1, 2)]
    for job in jobs:
        server.wait_for_progress(job, 1e-9)
    pin(server.pid, {CORE})
    before, idle = resident(server.pid), _share(server.pid, LISTEN_SECONDS / 4)
    streams = {
        "listeners": [f"/v1/jobs/{job}/events" for job in jobs],
        "listeners to all jobs": ["/v1/events"],
    }
    heard: dict[str, list[Heard]] = {name: [] for name in streams}
    for _ in range(PARTS):
        for name, paths in streams.items():
            heard[name].append(asyncio.run(_listen(server, paths, LISTEN_SECONDS / PARTS)))
    for job in jobs:
        server.act(job, "cancel")
    one, all_ = [[part.share for part in parts] for parts in heard.values()]
    name = f"{LISTENERS} listeners to all jobs: processor time, against listeners to one job each"
    return [
        *(
            found
            for name, parts in heard.items()
            for found in _heard_figures(f"{LISTENERS} {name}", parts, before, idle)
        ),
        figure(name, ratios(all_, one), "x", at_most=1),
    ]


def _heard_figures(name: str, parts: list[Heard], before: float, idle: float) -> list[Figure]:
    events = sum(part.events for part in parts) / LISTEN_SECONDS / LISTENERS
    note = f"{events:.1f} events a second each; without listeners {idle:.1f} %"
    shares, held = [part.share for part in parts], max(part.held for part in parts)
    return [
        figure(f"{name}: a core's share", shares, "%", note=note),
        figure(f"{name}: memory of the server", held, "MB", note=f"{before:.0f} MB before"),
    ]


def _share(pid: int, seconds: float) -> float:
    before = processor_seconds([pid])
    time.sleep(seconds)
    return 100 * (processor_seconds([pid]) - before) / seconds


async def _listen(server: Server, paths: list[str], seconds: float) -> Heard:
    """Let 200 clients listen, and measure once all are connected."""
    count = 0

    async def listen(path: str) -> None:
        nonlocal count
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(base64.b64decode(get(path)))
        while line := await reader.readline():
            count += line.startswith(b"event:")

    tasks = [asyncio.create_task(listen(paths[k % len(paths)])) for k in range(LISTENERS)]
    await asyncio.sleep(3)
    begun = count
    share = await asyncio.to_thread(_share, server.pid, seconds)
    heard = Heard(share, resident(server.pid), count - begun)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return heard
