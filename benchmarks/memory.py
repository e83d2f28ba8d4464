"""Resident memory of the server and of workers, and the time until `serve` is ready."""

import re
import time
from pathlib import Path

from benchmarks.own_server import RELU, own_server, run
from benchmarks.report import Figure, figure
from tests.support.server_process import Server, eventually, resident

STARTS = 7
REQUESTS = 3000


def private(pid: int) -> float:
    """Return the memory of a process that is not backed by a file, in MiB."""
    [kibibytes] = re.findall(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kibibytes) / 1024


def second(pid: int) -> float:
    """Return the private memory of a worker's second process in MiB, or 0 if there is none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    maps = [Path(f"/proc/{child}/smaps_rollup").read_text() for child in children]
    return (
        sum(int(size) for each in maps for size in re.findall(r"Private_\w+:\s+(\d+)", each)) / 1024
    )


def restarts(server: Server) -> Figure:
    took = []
    for _ in range(STARTS):
        server.terminate()
        start = time.perf_counter()
        server.start()
        took.append(time.perf_counter() - start)
    return figure("`serve` to ready", took, "s", at_most=1.5)


def worker(server: Server, what: str, **spec: object) -> Figure:
    """Measure a worker repeatedly while it trains; report the largest values."""
    job = server.submit(**spec)
    server.wait_for_progress(job, 0.1)
    pid = eventually(lambda: server.worker(job), "the worker")
    samples = []
    while server.job(job)["progress"]["fraction"] < 0.6:
        samples.append((resident(pid), private(pid), second(pid)))
        time.sleep(0.1)
    server.act(job, "cancel")
    server.wait(job, "cancelled")
    most, own, of_second = map(max, zip(*samples, strict=True))
    note = f"{own:.0f} MB of it private, the rest files that all workers share"
    if of_second:
        note += f"; {of_second:.0f} MB of it in a second process, while a core is idle"
    return figure(f"a worker, {what}", most + of_second, "MB", at_most=130, note=note)


def server_memory(server: Server, trained: str) -> list[Figure]:
    figures = [figure("the server, idle", resident(server.pid), "MB", at_most=130)]
    for width in range(400, 700, 10):
        server.http.get(f"/v1/jobs/{trained}/curves.png?width={width}").raise_for_status()
        server.http.get(f"/v1/models/{trained}/layers/1/weights.png").raise_for_status()
    drawn = resident(server.pid)
    figures.append(figure("the server, after pictures", drawn, "MB", at_most=180))
    asked = {"inputs": [{"dataset": "mnist", "split": "test", "index": 0}]}
    for turn in range(REQUESTS):
        server.http.get(f"/v1/jobs/{trained}").raise_for_status()
        server.http.post(f"/v1/models/{trained}/predict", json=asked).raise_for_status()
        if turn == REQUESTS // 3:
            before = resident(server.pid)
    grown = resident(server.pid) - before
    note = f"over the last two thirds of {2 * REQUESTS:,} requests"
    return [*figures, figure("the server, growth under load", grown, "MB", at_most=3, note=note)]


def measure() -> list[Figure]:
    with own_server() as server:
        run(server, RELU | {"batch_size": 1024})
        [trained] = [job["id"] for job in server.http.get("/v1/jobs").json()["data"]]
        figures = [restarts(server), *server_memory(server, trained)]
        figures.append(worker(server, "mlp-relu", **RELU))
        linear = {"preset": "linear", "epochs": 100}
        figures.append(worker(server, "linear", **linear))
    return figures
