"""Predictions over HTTP: this service, a bare application and its peers take turns on one core."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from benchmarks.environments import ROOT, python_of
from benchmarks.report import Figure, figure
from mlp_core import Network, predict_probabilities, scaled
from service.store.api_keys import ApiKeyStore
from service.store.dataset_files import DatasetFiles
from service.store.sql.database import Database
from service.store.stored_dataset import MNIST
from tests.support.load import Load, Plan, Seen, get, post
from tests.support.server_process import Server, eventually, free_port

PREDICT = "/v1/models/latest/predict"
CORES = sorted(os.sched_getaffinity(0))
CORE, OTHER = CORES[0], CORES[-1]
"""The core of the server and that of the clients."""
CONNECTIONS = 16
ROUNDS, SECONDS = 9, 1.5
BATCHES, STARTS = 15, 7
BARE = "a bare ASGI application"
MOST_OF_BARE = {"raw pixels": 5.5}
"""How much more processor time than the bare application a form may take."""
LEAST_OF_PEER = {"raw pixels": 3.5, "PNG": 2.5, "JSON pixels": 2.3}
"""How many times as many requests as the best peer a form must answer."""
PEERS = {"LitServe": "litserve", "MLServer": "mlserver", "BentoML": "bentoml"}


def measure() -> list[Figure]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        datasets = DatasetFiles(place / "datasets")
        digits = np.array(datasets.open(MNIST.sha256).test.images)
        server = stack.enter_context(served(place, MLP_LOG_FORMAT="json"))
        key = _use_key(server)
        bare = stack.enter_context(_bare_application())
        server.wait(server.submit(preset="mlp-relu", epochs=2), "succeeded")
        weights = place / "weights.npz"
        weights.write_bytes(server.http.get("/v1/models/latest/weights.npz").content)
        peers = {name: stack.enter_context(_peer(name, weights)) for name in PEERS}
        _check_answers(server, peers, digits[:20])
        return [
            *_requests(server, key, bare, peers, digits[7]),
            *_while_training(server, key, digits[7]),
            *_batches(server, weights, digits),
            *_first_answers(server, digits[7]),
        ]


@contextmanager
def served(place: Path, **environment: str) -> Iterator[Server]:
    """Yield a running server of this service, with its data in a directory."""
    server = Server(place / "data", place / "datasets", **environment)
    try:
        yield server.start()
    finally:
        server.stop()


def _use_key(server: Server) -> str:
    """Create an API key, use it for all further requests, and return it."""
    database = Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")
    key = ApiKeyStore(database).create("benchmark", ["admin"])
    database.close()
    server.http.headers["Authorization"] = f"Bearer {key}"
    return key


def _bare_application() -> AbstractContextManager["Peer"]:
    """Run uvicorn as this service does, around an application that does nothing."""
    port = free_port()
    module = "benchmarks.contenders.bare_asgi:app"
    command = [sys.executable, "-m", "uvicorn", module, "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(
        ["taskset", "-c", str(CORE), *command, "--log-level", "error"], cwd=ROOT
    )
    return _paused(Peer(BARE, process, port), _is_open)


@contextmanager
def _paused(peer: "Peer", is_ready: Callable[["Peer"], bool]) -> Iterator["Peer"]:
    """Wait until a server is ready, yield it paused, and kill it at the end."""
    try:
        eventually(lambda: is_ready(peer), f"{peer.name} to answer", 60)
        peer.pause()
        yield peer
    finally:
        peer.signal(signal.SIGKILL)
        peer.process.wait()


def _is_open(peer: "Peer") -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{peer.port}/").status_code == 200
    except httpx2.TransportError:
        return False


def pin(pid: int, cores: set[int]) -> None:
    """Restrict all threads of a process to some cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def family(pid: int) -> set[int]:
    """Return the ids of a process and of all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Peer:
    """Another model server on the same core, stopped by a signal while it is not measured."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name, self.process, self.port = name, process, port

    @property
    def pids(self) -> set[int]:
        return family(self.process.pid)

    def signal(self, number: int) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def run(self) -> None:
        self.signal(signal.SIGCONT)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    @property
    def path(self) -> str:
        return "/v2/models/digits/infer" if self.name == "MLServer" else "/predict"

    def body(self, pixels: np.ndarray) -> bytes:
        """Return a request body in the form that the server's documentation describes."""
        asked: dict[str, Any] = {"pixels": pixels.tolist()}
        if self.name == "MLServer":
            data = {"name": "pixels", "shape": [1, 784], "datatype": "UINT8"}
            asked = {"inputs": [{**data, "data": pixels.tolist()}]}
        return json.dumps(asked).encode()

    def probabilities(self, pixels: np.ndarray) -> list[float]:
        found = httpx2.post(
            f"http://127.0.0.1:{self.port}{self.path}",
            content=self.body(pixels),
            headers={"Content-Type": "application/json"},
        ).json()
        if self.name == "MLServer":
            found = found["outputs"][0]["data"]
        return list(found["probabilities"] if isinstance(found, dict) else found)


def _peer(name: str, weights: Path) -> AbstractContextManager[Peer]:
    python, port = python_of(PEERS[name]), free_port()
    module = f"benchmarks.contenders.with_{PEERS[name]}"
    command = [python, "-m", module, str(port)]
    if name == "BentoML":
        served = ["serve", f"{module}:Digits", "--host", "127.0.0.1", "--port", str(port)]
        command = [python.parent / "bentoml", *served, "--working-dir", str(ROOT)]
    environment = {
        "PYTHONPATH": str(ROOT),
        "WEIGHTS": str(weights),
        "BENTOML_HOME": str(weights.parent / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    with (weights.parent / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(CORE), *command],
            cwd=weights.parent,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    return _paused(Peer(name, process, port), _answers)


def _answers(peer: Peer) -> bool:
    try:
        return len(peer.probabilities(np.zeros(784, np.uint8))) == 10
    except (httpx2.TransportError, ValueError, KeyError):
        return False


def _check_answers(server: Server, peers: dict[str, Peer], digits: np.ndarray) -> None:
    """Check that all servers give the same answers, because all of them have the same network."""
    headers = {"Content-Type": "application/octet-stream", "Accept": "application/x-npy"}
    answer = server.http.post(PREDICT, content=digits.tobytes(), headers=headers)
    expected = np.load(io.BytesIO(answer.content))
    for peer in peers.values():
        peer.run()
        found = np.array([peer.probabilities(digit) for digit in digits])
        peer.pause()
        if not np.allclose(found, expected, atol=1e-5):
            raise SystemExit(f"{peer.name} gives other probabilities than this service")


def _forms(digit: np.ndarray, key: str | None = None) -> dict[str, str]:
    file = io.BytesIO()
    Image.fromarray(digit.reshape(28, 28)).save(file, "PNG")
    body = json.dumps({"inputs": [{"pixels": digit.tolist()}]}).encode()
    return {
        "raw pixels": post(PREDICT, digit.tobytes(), "application/octet-stream", key),
        "PNG": post(PREDICT, file.getvalue(), "image/png", key),
        "JSON pixels": post(PREDICT, body, "application/json", key),
    }


@dataclass(frozen=True)
class Round:
    seen: Seen
    processor_seconds: float
    """Used by the server, in all its processes."""

    @property
    def rate(self) -> float:
        """Requests per second of processor time: what the core could do without other work.

        On an otherwise idle machine this equals requests per second. On a shared one, a server with
        many processes would get a larger share of the core and look faster by the clock.
        """
        return len(self.seen.latencies["200"]) / self.processor_seconds


def load(port: int, pids: Iterable[int], request: str) -> Round:
    """Send a request repeatedly over 16 connections; every answer must be a 200."""
    pids = list(pids)
    before = processor_seconds(pids)
    seen = Load(Plan(port, request, CONNECTIONS, SECONDS, core=OTHER)).result()
    after = processor_seconds(pids)
    if set(seen.latencies) != {"200"}:
        raise SystemExit(
            f"not all were answered: { {k: len(v) for k, v in seen.latencies.items()} }"
        )
    return Round(seen, after - before)


def _requests(
    server: Server, key: str, bare: Peer, peers: dict[str, Peer], digit: np.ndarray
) -> list[Figure]:
    """Measure one digit in each form, the bare application, /livez and the peers, in rounds.

    The service asks for a key, and writes a log line in JSON for each request.
    """
    own = {"/livez": get("/livez"), **_forms(digit, key)}
    rounds: dict[str, list[Round]] = {name: [] for name in (BARE, *own, *peers)}
    pin(server.pid, {CORE})
    for _ in range(ROUNDS):
        bare.run()
        rounds[BARE].append(load(bare.port, bare.pids, get("/")))
        bare.pause()
        for name, request in own.items():
            rounds[name].append(load(server.port, [server.pid], request))
        for name, peer in peers.items():
            peer.run()
            request = post(peer.path, peer.body(digit), "application/json")
            rounds[name].append(load(peer.port, peer.pids, request))
            peer.pause()
    return _compare(rounds, list(peers))


def _compare(rounds: dict[str, list[Round]], peers: list[str]) -> list[Figure]:
    """Return our forms' figures against the bare application and the best peer, and all rates."""
    rates = {name: [each.rate for each in parts] for name, parts in rounds.items()}
    best = max(peers, key=lambda name: median(rates[name]))
    figures = []
    for form, least in LEAST_OF_PEER.items():
        of_bare, of_peer = ratios(rates[BARE], rates[form]), ratios(rates[form], rates[best])
        what = f"one digit, {form}: processor time of {BARE}"
        figures += [
            figure(what, of_bare, "x", at_most=MOST_OF_BARE.get(form)),
            figure(f"one digit, {form}: the best peer", of_peer, "x", at_least=least, note=best),
        ]
    for name, parts in rounds.items():
        late = median(each.seen.quantile("200", 0.99) for each in parts)
        clock = median(each.seen.rate("200") for each in parts)
        each = 1e6 / median(rates[name])
        note = f"{each:.0f} µs each; p99 {1000 * late:.0f} ms; by the clock {clock:,.0f}/s"
        figures.append(
            figure(f"{name}: requests in a second of processor time", rates[name], "", note=note)
        )
    return figures


def ratios(values: list[float], references: list[float]) -> list[float]:
    return [value / reference for value, reference in zip(values, references, strict=True)]


def _while_training(server: Server, key: str, digit: np.ndarray) -> list[Figure]:
    """Measure the same while two jobs train on all cores."""
    jobs = [server.submit(preset="mlp-relu", epochs=10_000, seed=seed) for seed in (1, 2)]
    for job in jobs:
        server.wait_for_progress(job, 1e-6)
        worker = server.worker(job)
        assert worker
        pin(worker, set(CORES))
    request = _forms(digit, key)["raw pixels"]
    seen = [load(server.port, [server.pid], request).seen for _ in range(ROUNDS)]
    for job in jobs:
        server.act(job, "cancel")
        server.wait(job, "cancelled")
    late = [1000 * each.quantile("200", 0.99) for each in seen]
    rates = [each.rate("200") for each in seen]
    return [
        figure("raw pixels while two jobs train: requests a second", rates, "/s"),
        figure("raw pixels while two jobs train: p99", late, "ms"),
    ]


def _batches(server: Server, weights: Path, digits: np.ndarray) -> list[Figure]:
    """Compare a request with all 10 000 test images to the forward pass alone, on one core."""
    with np.load(weights) as arrays:
        network = Network.from_arrays(dict(arrays), "relu")
    headers = {"Content-Type": "application/octet-stream"}
    seconds: dict[str, list[float]] = {
        "forward": [],
        "application/x-npy": [],
        "application/json": [],
    }
    for _ in range(BATCHES):
        os.sched_setaffinity(0, {CORE})
        started = time.perf_counter()
        predict_probabilities(network, scaled(digits))
        seconds["forward"].append(time.perf_counter() - started)
        os.sched_setaffinity(0, {OTHER})
        for accept in ("application/x-npy", "application/json"):
            asked = {**headers, "Accept": accept}
            started = time.perf_counter()
            answer = server.http.post(PREDICT, content=digits.tobytes(), headers=asked)
            seconds[accept].append(time.perf_counter() - started)
            assert answer.status_code == 200, answer.text
    os.sched_setaffinity(0, CORES)
    bare = seconds.pop("forward")
    milliseconds = [1000 * each for each in bare]
    return [
        *(
            figure(
                f"10 000 images, answered as {accept}: the forward pass alone",
                ratios(bare, took),
                "x",
                at_least=0.8 if "npy" in accept else None,
            )
            for accept, took in seconds.items()
        ),
        figure("10 000 images: the forward pass alone", milliseconds, "ms"),
    ]


def _first_answers(server: Server, digit: np.ndarray) -> list[Figure]:
    """Measure the first prediction of a network, immediately after its job has ended."""
    took, headers = [], {"Content-Type": "application/octet-stream"}
    for seed in range(STARTS):
        job = server.submit(preset="mlp-relu", epochs=1, seed=seed)
        server.wait(job, "succeeded")
        started = time.perf_counter()
        answer = server.http.post(
            f"/v1/models/{job}/predict", content=digit.tobytes(), headers=headers
        )
        took.append(1000 * (time.perf_counter() - started))
        assert answer.status_code == 200, answer.text
    return [
        figure("the first answer of a network that has just been trained", took, "ms", at_most=20)
    ]
