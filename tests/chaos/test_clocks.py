"""Wall clocks of the server or its workers may jump by hours and years without any effect."""

import importlib.util
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.support.campaign import Campaign
from tests.support.server_process import Server

JUMPS = ("+0", "+3600", "-3600", "+2y", "-2y")
JOB = {"preset": "linear", "batch_size": 512}


def faked(clock: Path) -> dict[str, str]:
    """Return environment variables that give a process the wall clock that the file specifies.

    Monotonic clocks are left alone: no administrator can set them.
    """
    found = importlib.util.find_spec("libfaketime")
    assert found
    assert found.origin
    library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


class Clock:
    """The wall clock of some processes, which jumps several times a second."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self._rng = path, random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.jumps = 0

    def __enter__(self) -> "Clock":
        self.set("+0")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def set(self, to: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(to)
        new.replace(self.path)

    def _run(self) -> None:
        while not self._over.wait(self._rng.uniform(0.1, 0.6)):
            self.set(self._rng.choice(JUMPS))
            self.jumps += 1


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    with Clock(tmp_path / "clock", seed=1) as clock:
        yield clock


@pytest.fixture
def server(tmp_path: Path, datasets_dir: Path, clock: Clock) -> Iterator[Server]:
    server = Server(tmp_path / "data", datasets_dir, **faked(clock.path))
    yield server
    server.stop()


def store(server: Server) -> Database:
    return Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")


def durations(server: Server, job: str) -> list[float]:
    data = server.http.get(f"/v1/jobs/{job}/epochs").json()["data"]
    return [epoch["seconds"] for epoch in data]


def followed(server: Server, job: str) -> tuple[list[float], list[float]]:
    """Follow a job to its end; return the reported fractions done and times left."""
    fractions, left, deadline = [], [], time.monotonic() + 600
    while (current := server.job(job))["state"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline, current
        fractions.append(current["progress"]["fraction"])
        left.append(current["progress"]["eta_seconds"] or 0.0)
        time.sleep(0.1)
    assert current["state"] == "succeeded", current["reason"]
    return fractions, left


def test_jobs_are_not_affected_by_clocks_that_jump(
    server: Server, clock: Clock, campaign: Campaign
) -> None:
    count, epochs = campaign.of((2, 8), (60, 25))
    server.start()
    started = time.monotonic()
    ids, times = [], []
    keyed = server.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "early"})
    server.act(keyed.json()["id"], "cancel")
    database = store(server)
    wrong_latest = 0
    for _ in range(count):
        ids.append(server.submit(**JOB, epochs=epochs))
        fractions, left = followed(server, ids[-1])
        assert fractions == sorted(fractions)
        times += [*left, *durations(server, ids[-1])]
        wrong_latest += JobStore(database).latest() != ids[-1]
    elapsed = time.monotonic() - started
    jobs = [server.job(id_) for id_ in ids]
    events = [JobStore(database).events(id_)[1] for id_ in ids]
    database.close()

    at = [event.at for of_job in events for event in of_job]
    spread = max(at) - min(at)
    expired = sum(job["attempt"] - 1 for job in jobs)
    negative = sum(seconds < 0 for seconds in times)
    measured = f"{clock.jumps} jumps, {count} jobs, stamps {spread.days} days apart"
    campaign.figure("jumps of the clocks", target="-2 to +2 years", measured=measured, met=True)
    campaign.figure("workers declared lost", target="0", measured=expired, met=not expired)
    campaign.figure("negative durations", target="0", measured=negative, met=not negative)
    right = not wrong_latest
    campaign.figure("wrong `latest` models", target="0", measured=wrong_latest, met=right)
    assert spread > timedelta(days=600), "libfaketime did not change the clock"
    assert (expired, negative, wrong_latest) == (0, 0, 0)
    assert sum(sum(durations(server, id_)) for id_ in ids) < elapsed

    server.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "late"})
    again = server.http.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": "early"})
    assert again.json()["id"] == keyed.json()["id"], "the key was forgotten too early"


def test_a_worker_and_a_server_with_different_clocks_agree(
    server: Server, clock: Clock, campaign: Campaign
) -> None:
    """A worker starts under one clock, and is adopted by a server under the other."""
    clocks = {"workers": faked(clock.path), "server": {"LD_PRELOAD": ""}}
    for jumping in campaign.of(("workers",), ("workers", "server")):
        other = "server" if jumping == "workers" else "workers"
        server.environment |= clocks[jumping]
        server.start()
        job = server.submit(preset="linear", batch_size=16, epochs=campaign.of(4, 60))
        server.wait_for_progress(job, 0.02)
        server.kill()
        server.environment |= clocks[other]
        server.start()
        ended = server.wait(job, "succeeded", "failed", seconds=campaign.of(60, 600))
        lost = ended["attempt"] - 1 + ended["lost_workers"]
        what = f"workers declared lost, only the clock of the {jumping} jumping"
        campaign.figure(what, target="0", measured=lost, met=not lost)
        assert (ended["state"], lost) == ("succeeded", 0)
        assert min(durations(server, job)) >= 0
        server.terminate()
