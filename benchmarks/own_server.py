"""Servers of this service on given cores, and the times that their jobs take."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.environments import PLACE
from tests.support.server_process import Server

CORES = sorted(os.sched_getaffinity(0))
RELU = {"preset": "mlp-relu"}
LINEAR = {"preset": "linear", "epochs": 1}


@contextmanager
def own_server(*cores: int, **environment: str) -> Iterator[Server]:
    """Yield a running server that is restricted, with its workers, to some cores or uses all."""
    with tempfile.TemporaryDirectory() as folder:
        # Modules are compiled, as after any installation or first run.
        environment = {"PYTHONDONTWRITEBYTECODE": "", "MLP_LOG_LEVEL": "warning", **environment}
        server = Server(Path(folder) / "data", PLACE / "datasets", **environment)
        server.prefix = ["taskset", "-c", ",".join(map(str, cores or CORES))]
        try:
            yield server.start()
        finally:
            server.stop()


def run(server: Server, *specs: dict[str, Any]) -> float:
    """Return the seconds from the submission of long jobs to their success.

    They are taken from the service's own timestamps, and the service is polled rarely, because
    polling takes time on the core that is measured.
    """
    ids = [server.submit(**spec) for spec in specs]
    await_success(server, *ids, every=0.5)
    jobs = [server.job(job) for job in ids]
    return moment(max(job["finished_at"] for job in jobs)) - moment(jobs[0]["created_at"])


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def await_success(server: Server, *jobs: str, every: float = 0.01) -> None:
    for job in jobs:
        while (state := server.job(job)["state"]) != "succeeded":
            assert state in ("queued", "running"), state
            time.sleep(every)


def seconds_to_first_step(server: Server, **spec: object) -> float:
    """Return the seconds from a submission to the worker's log line before its first step."""
    posted = time.time()
    job = server.submit(**spec)
    await_success(server, job)
    log = server.data_dir / "jobs" / job / "worker.log"
    [line] = [line for line in log.read_text().splitlines() if "begins at" in line]
    moment = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone()
    return moment.timestamp() - posted
