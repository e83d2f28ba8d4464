"""The cost of a job besides its training: its start, many short jobs, a long job, two at a time."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchmarks.own_server import (
    CORES,
    LINEAR,
    RELU,
    await_success,
    own_server,
    run,
    seconds_to_first_step,
)
from benchmarks.report import Figure, figure
from benchmarks.training import RELU as BARE
from benchmarks.training import Contender
from tests.support.server_process import Server

STARTS = 100
SHORT_JOBS = 100
BARE_EPOCHS = 40
LONG_ROUNDS = 4
PAIR_ROUNDS = 5
PAIR_EPOCHS = 8


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def starts(server: Server) -> list[Figure]:
    """Measure the time from POST to the first step on an otherwise idle server."""
    figures = []
    for what, spec, count in (
        ("linear", LINEAR, STARTS),
        ("mlp-relu", {**RELU, "epochs": 1}, STARTS // 5),
    ):
        seconds_to_first_step(server, **spec)  # reads files that are in no cache yet
        took = [1000 * seconds_to_first_step(server, **spec) for _ in range(count)]
        figures += [
            figure(f"POST to first step, {what}, p50", took, "ms", at_most=200),
            figure(f"POST to first step, {what}, p99", percentile(took, 99), "ms"),
        ]
    return figures


def bare_epochs(contender: Contender, count: int) -> float:
    """Return the seconds that the trainer alone takes for `count` epochs."""
    for _ in range(count):
        contender.epoch()
    return sum(contender.seconds[-count:])


def short_jobs(server: Server) -> list[Figure]:
    """Compare many one-epoch jobs that are queued together with epochs of the trainer alone."""
    linear = replace(BARE, sizes=(784, 10))
    start = time.perf_counter()
    await_success(server, *[server.submit(**LINEAR) for _ in range(SHORT_JOBS)])
    jobs = SHORT_JOBS / (time.perf_counter() - start)
    contenders = [Contender(None, "ours", linear, {core}) for core in CORES]
    with ThreadPoolExecutor() as pool:
        # The first epoch does not count.
        list(pool.map(lambda contender: contender.epoch(), contenders))
        start = time.perf_counter()
        list(pool.map(lambda contender: bare_epochs(contender, BARE_EPOCHS), contenders))
        bare = BARE_EPOCHS * len(CORES) / (time.perf_counter() - start)
    for contender in contenders:
        contender.end()
    note = f"on {len(CORES)} cores; the bare trainer: {bare:.1f} epochs a second"
    return [
        figure(f"{SHORT_JOBS} one-epoch linear jobs", jobs, "jobs a second", note=note),
        figure("the same against the bare trainer", jobs / bare, "x"),
    ]


def overhead() -> list[Figure]:
    """Compare a job and the trainer alone: both run, on a core each, and swap every round."""
    ratios = []
    for turn in range(LONG_ROUNDS):
        job_core, bare_core = (CORES[0], CORES[-1])[:: 1 if turn % 2 else -1]
        with own_server(job_core) as server, ThreadPoolExecutor(1) as pool:
            contender = Contender(None, "ours", BARE, {bare_core})
            contender.epoch()
            bare = pool.submit(bare_epochs, contender, 50)
            job = run(server, RELU)
            ratios.append(job / bare.result())
            contender.end()
    # Two rounds, in which each ran on each core, make one figure.
    paired = [(a * b) ** 0.5 for a, b in zip(ratios[::2], ratios[1::2], strict=True)]
    note = "POST to succeeded, 50 epochs of mlp-relu, against the bare trainer"
    return [figure("a job's time", paired, "x", at_most=1.05, note=note)]


def pairs() -> list[Figure]:
    """Compare two jobs on two cores with one job on one core, in turns."""
    spec = {**RELU, "epochs": PAIR_EPOCHS}
    with own_server(CORES[0]) as one, own_server() as two:
        ratios = [2 * run(one, spec) / run(two, spec, spec) for _ in range(PAIR_ROUNDS)]
    what = "two jobs on two cores, throughput against one on one"
    return [figure(what, ratios, "x", at_least=1.9)]


def measure() -> list[Figure]:
    with own_server() as server:
        figures = [*starts(server), *short_jobs(server)]
    return [*figures, *overhead(), *pairs()]
