"""The first evaluation of a network on MNIST's test images, against its forward pass alone."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from benchmarks.report import Figure, figure
from benchmarks.serving import CORE, CORES, pin, served
from mlp_core import Network, predict_probabilities, scaled
from tests.support.drawn_digits import mnist
from tests.support.server_process import Server

ROUNDS = 9
MOST_TIMES, MOST_MORE_MS = 1.3, 20


def measure() -> list[Figure]:
    digits = mnist("t10k").reshape(-1, 784)
    forward, first, again = [], [], []
    with tempfile.TemporaryDirectory() as directory, served(Path(directory)) as server:
        for seed in range(ROUNDS):
            job = server.submit(preset="mlp-relu", epochs=1, seed=seed)
            server.wait(job, "succeeded")
            weights = server.http.get(f"/v1/models/{job}/weights.safetensors").content
            network = Network.from_arrays(load(weights), "relu")
            pin(server.pid, {CORE})
            first.append(_answered(server, job))
            again.append(_answered(server, job))
            pin(server.pid, set(CORES))
            forward.append(_forward(network, digits))
    beyond = [ours - MOST_TIMES * bare for ours, bare in zip(first, forward, strict=True)]
    return [
        figure(
            f"the first evaluation, beyond {MOST_TIMES} times the forward pass",
            beyond,
            "ms",
            at_most=MOST_MORE_MS,
        ),
        figure("the first evaluation", first, "ms"),
        figure("the same again", again, "ms"),
        figure("the forward pass alone", forward, "ms"),
    ]


def _answered(server: Server, job: str) -> float:
    """Return the milliseconds until the evaluation was answered."""
    started = time.perf_counter()
    server.http.get(f"/v1/models/{job}/evaluation").raise_for_status()
    return 1000 * (time.perf_counter() - started)


def _forward(network: Network, digits: NDArray[np.uint8]) -> float:
    """Return the milliseconds of a forward pass on one core."""
    os.sched_setaffinity(0, {CORE})
    started = time.perf_counter()
    predict_probabilities(network, scaled(digits))
    took = 1000 * (time.perf_counter() - started)
    os.sched_setaffinity(0, CORES)
    return took
