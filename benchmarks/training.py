"""The time of an epoch with its evaluation: this trainer and its peers take turns."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from benchmarks.contenders.race import Task
from benchmarks.environments import ROOT, python_of
from benchmarks.report import Figure, figure

RELU = Task((784, 128, 10), "relu", 64, 0.1, 0.0, 1)
OTHERS = {
    "784-10": replace(RELU, sizes=(784, 10)),
    "sigmoid": replace(RELU, activation="sigmoid"),
    "784-512-256-10": replace(RELU, sizes=(784, 512, 256, 10)),
    "batch 32": replace(RELU, batch_size=32),
    "batch 256": replace(RELU, batch_size=256),
    "batch 1024": replace(RELU, batch_size=1024),
    "momentum 0.9": replace(RELU, learning_rate=0.02, momentum=0.9),
}
PEERS = ("JAX", "PyTorch", "scikit-learn")
CONTENDERS = {  # an environment (None: this one) and a module of `benchmarks.contenders`
    "ours": (None, "ours"),
    "JAX": ("jax", "with_jax"),
    "PyTorch": ("pytorch", "pytorch"),
    "scikit-learn": ("scikit-learn", "scikit_learn"),
    "course assignment": (None, "course_assignment"),
    "products": (None, "products"),
}
GOALS = {"JAX": 1.25, "PyTorch": 2.3, "scikit-learn": 3.0, "course assignment": 6.0}
ROUNDS = 9
FEW_ROUNDS = 5


class Contender:
    """A process that trains one epoch on request and is idle otherwise."""

    def __init__(self, peer: str | None, module: str, task: Task, cores: set[int]) -> None:
        python = python_of(peer) if peer else sys.executable
        # This project's trainer uses a second core without threads of the BLAS.
        threads = str(task.threads if peer else 1)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        pin = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
        self._process = subprocess.Popen(
            [*pin, str(python), "-m", f"benchmarks.contenders.{module}", json.dumps(asdict(task))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds: list[float] = []
        self._accuracies = 0.0, 0.0

    def epoch(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"a contender exited with status {self._process.wait()}")
        done = json.loads(answer)
        self.seconds.append(done["seconds"])
        self._accuracies = done["train"], done["test"]

    def accuracies(self) -> str:
        if not any(self._accuracies):
            return ""  # the contender `products` learns nothing
        return "train {:.2%}, test {:.2%}".format(*self._accuracies)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def race(task: Task, names: Sequence[str], rounds: int) -> dict[str, Contender]:
    """Let all contenders train in turns on the same cores, so that noise disturbs all alike."""
    cores = set(sorted(os.sched_getaffinity(0))[-task.threads :])
    contenders = {name: Contender(*CONTENDERS[name], task, cores) for name in names}
    for _ in range(1 + rounds):
        for contender in contenders.values():
            contender.epoch()
    for contender in contenders.values():
        del contender.seconds[0]  # other contenders were still starting
        contender.end()
    return contenders


def times_ours(contenders: dict[str, Contender], name: str) -> list[float]:
    """Return a contender's time in each round as a multiple of this project's."""
    pairs = zip(contenders["ours"].seconds, contenders[name].seconds, strict=True)
    return [seconds / own_seconds for own_seconds, seconds in pairs]


def main_table() -> list[Figure]:
    contenders = race(RELU, list(CONTENDERS), ROUNDS)
    figures = [
        figure(f"{name}: time of an epoch", times_ours(contenders, name), "x", at_least=goal)
        for name, goal in GOALS.items()
    ]
    ceiling = [1 / ratio for ratio in times_ours(contenders, "products")]
    figures.append(
        figure("ours, against the dense products alone", ceiling, "x", at_most=round(1 / 0.85, 2))
    )
    figures += [
        figure(f"{name}: seconds an epoch", contender.seconds, "s", note=contender.accuracies())
        for name, contender in contenders.items()
    ]
    return figures


def others() -> list[Figure]:
    """Compare other networks and settings, where no peer may be faster."""
    figures = []
    for what, task in OTHERS.items():
        contenders = race(task, ["ours", *PEERS], FEW_ROUNDS)
        for name in PEERS:
            ratios = times_ours(contenders, name)
            figures.append(figure(f"{what}: {name}", ratios, "x", at_least=1.0))
    return figures


def two_cores() -> list[Figure]:
    contenders = race(replace(RELU, threads=2), ["ours", *PEERS], ROUNDS)
    return [
        figure(
            f"one job, two cores: {name}",
            times_ours(contenders, name),
            "x",
            at_least=1.3 if name == "JAX" else None,
        )
        for name in PEERS
    ]


def measure() -> list[Figure]:
    return [*main_table(), *others(), *two_cores()]
