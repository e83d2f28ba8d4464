"""Pictures over HTTP, and how long other requests wait while the server draws on its one core."""

import statistics
import threading
import time
from itertools import count

import httpx2

from benchmarks.own_server import CORES, LINEAR, RELU, own_server, run
from benchmarks.report import Figure, figure
from tests.support.server_process import Server

REPEATS = 60
WATCH_SECONDS = 8.0
TILES = "/v1/models/{}/layers/1/weights.png"
CURVES = "/v1/jobs/{}/curves.png"


def milliseconds(server: Server, path: str, status: int = 200, **headers: str) -> list[float]:
    """Return the times of a request that is repeated over one connection."""
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        answer = server.http.get(path, headers=headers)
        took.append(1000 * (time.perf_counter() - start))
        assert answer.status_code == status, answer.text
    return took


def pictures(server: Server, linear: str, relu: str) -> list[Figure]:
    wide, tiles, curves = TILES.format(relu), TILES.format(linear), CURVES.format(relu)
    for path in (tiles, wide, curves):  # imports matplotlib and loads the networks
        tag = server.http.get(path).headers["etag"]
    held = {"if-none-match": tag}
    return [
        figure("an empty answer (/livez)", milliseconds(server, "/livez"), "ms"),
        figure("ten weight tiles", milliseconds(server, tiles), "ms", at_most=5),
        figure("128 weight tiles", milliseconds(server, wide), "ms", at_most=30),
        figure("curves of 50 epochs", milliseconds(server, curves), "ms", at_most=100),
        figure("the same, unchanged", milliseconds(server, curves, 304, **held), "ms", at_most=2),
    ]


def meanwhile(server: Server, path: str, what: str) -> Figure:
    """Measure how long other requests wait while one picture after another is drawn."""
    ended = threading.Event()

    def draw() -> None:
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            while not ended.is_set():
                client.get(path)

    artist = threading.Thread(target=draw)
    artist.start()
    took, until = [], time.perf_counter() + WATCH_SECONDS
    for _ in count():
        start = time.perf_counter()
        server.http.get("/livez")
        took.append(1000 * (time.perf_counter() - start))
        if start > until:
            break
        time.sleep(0.005)
    ended.set()
    artist.join()
    p99 = statistics.quantiles(took, n=100)[-1]
    note = f"median {statistics.median(took):.1f} ms, longest {max(took):.0f} ms"
    return figure(f"/livez while {what} are drawn, p99", p99, "ms", at_most=50, note=note)


def measure() -> list[Figure]:
    with own_server(CORES[0]) as server:
        run(server, LINEAR)
        run(server, RELU | {"batch_size": 1024})
        relu, linear = (job["id"] for job in server.http.get("/v1/jobs").json()["data"])
        figures = pictures(server, linear, relu)
        figures.append(meanwhile(server, CURVES.format(relu), "curves"))
        figures.append(meanwhile(server, TILES.format(relu), "128 tiles"))
    return figures
