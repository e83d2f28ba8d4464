"""Clients of a cluster whose servers are killed: they repeat what was not answered."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2

from mlp_client.job_state import FINAL

ANSWERED_SECONDS = 90
SPECS: tuple[dict[str, Any], ...] = (
    {"preset": "linear", "batch_size": 512, "epochs": 8},
    {"hidden": [64], "batch_size": 512, "epochs": 4},
    {
        "hidden": [32],
        "optimizer": {"type": "sgd", "momentum": 0.9, "nesterov": True},
        "batch_size": 256,
        "epochs": 4,
    },
    {"hidden": [48, 24], "activation": "tanh", "batch_size": 512, "epochs": 4},
)
UPLOADED = len(SPECS)
"""The number of the spec that needs an uploaded data set."""


def spec(number: int, dataset: str = "") -> dict[str, Any]:
    """Return the spec with a number; that of an uploaded data set needs its name."""
    if number < UPLOADED:
        return SPECS[number]
    return {"dataset": dataset, "hidden": [16], "batch_size": 64, "epochs": 20}


@dataclass
class ClusterClient:
    """Does one thing after another at any of several servers, until each is acknowledged."""

    urls: Sequence[str]
    name: str
    upload: bytes
    """A file from which data sets are made."""
    waiting: int = 2
    """How many of its jobs may wait or train at the same time."""
    specs: dict[str, int] = field(default_factory=dict)
    """The number of the spec of each acknowledged job."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs for which a cancellation was acknowledged."""
    paused: set[str] = field(default_factory=set)
    """Jobs that are to be resumed."""
    sets: list[str] = field(default_factory=list)
    """Data sets that were acknowledged, and not deleted again."""
    evaluations: int = 0
    requests: int = 0
    repeated: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.name)
        self._numbers = count()

    def run(self) -> None:
        try:
            with httpx2.Client(timeout=20) as self._http:
                while not self.stop.is_set():
                    self._do_something()
                    self.stop.wait(self._random.uniform(0, 0.3))
                for job in sorted(self.paused):
                    self._act(job, "resume")
        except BaseException as exc:  # the test reports it
            self.error = exc

    def _do_something(self) -> None:
        open_ = [job for job in self.specs if self._state(job) not in FINAL]
        if len(open_) < self.waiting:
            self._submit(self._random.randrange(UPLOADED))
        elif (number := self._random.random()) < 0.3:
            self._pause_or_resume(self._random.choice(open_))
        elif number < 0.4:
            self._act(job := self._random.choice(open_), "cancel")
            self.cancelled.add(job)
            self.paused.discard(job)
        elif number < 0.6:
            self._use_a_data_set()
        elif done := [job for job in self.specs if job not in open_ and job not in self.cancelled]:
            body = {"model": self._random.choice(done[-5:]), "split": "test"}
            answer = self._send("POST", "/v1/evaluations", json=body, accepted=(200, 202, 409))
            self.evaluations += answer.status_code != 409

    def _submit(self, number: int, dataset: str = "") -> None:
        headers = {"Idempotency-Key": f"{self.name}-{next(self._numbers)}"}
        body = spec(number, dataset)
        answer = self._send("POST", "/v1/jobs", json=body, headers=headers, accepted=(201,))
        self.specs[answer.json()["id"]] = number

    def _pause_or_resume(self, job: str) -> None:
        if job in self.paused:
            self._act(job, "resume")
            self.paused.discard(job)
        elif self._act(job, "pause").is_success:
            self.paused.add(job)

    def _use_a_data_set(self) -> None:
        """Send a data set, train on it, and perhaps delete it meanwhile."""
        name = f"{self.name}-{next(self._numbers)}"
        path = f"/v1/datasets/{name}"
        # While a killed server is not back, the set that it was receiving has the name.
        self._send("PUT", path, content=self.upload, accepted=(200, 201), again=(409,))
        self.sets.append(name)
        self._await(lambda: self._set_state(path) == "ready", f"{name} to be ready")
        self._submit(UPLOADED, name)
        if self._random.random() < 0.5:
            self._send("DELETE", f"{path}?force=true", accepted=(204, 404))
            self.sets.remove(name)

    def _set_state(self, path: str) -> str:
        found = self._send("GET", path, accepted=(200,)).json()
        assert found["state"] != "failed", found
        return str(found["state"])

    def _state(self, job: str) -> str:
        return str(self._send("GET", f"/v1/jobs/{job}", accepted=(200,)).json()["state"])

    def _act(self, job: str, action: str) -> httpx2.Response:
        """Ask for an action; 409 says that the job is in another state by now."""
        return self._send("POST", f"/v1/jobs/{job}/{action}", accepted=(200, 202, 409))

    def _send(
        self,
        method: str,
        path: str,
        *,
        accepted: Sequence[int],
        again: Sequence[int] = (),
        **options: Any,
    ) -> httpx2.Response:
        """Send a request to any server until it is answered; 503 and `again` are no answers."""
        deadline = time.monotonic() + ANSWERED_SECONDS
        self.requests += 1
        while True:
            answer = None
            try:
                answer = self._http.request(
                    method, self._random.choice(self.urls) + path, **options
                )
            except httpx2.TransportError as exc:
                said = repr(exc)
            else:
                said = f"{answer.status_code} {answer.text[:500]}"
            if answer is not None and answer.status_code not in (503, *again):
                assert answer.status_code in accepted, f"{method} {path}: {said}"
                return answer
            assert time.monotonic() < deadline, f"{method} {path} was not answered: {said}"
            self.repeated += 1
            time.sleep(0.1)

    def _await(self, look: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + ANSWERED_SECONDS
        while not look():
            assert time.monotonic() < deadline, f"waited for {what}, in vain"
            time.sleep(0.1)


@contextmanager
def running(clients: Sequence[ClusterClient]) -> Iterator[None]:
    """Run each client in a thread of its own, and stop them at the end."""
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for client in clients:
            client.stop.set()
        for thread in threads:
            thread.join()


def acknowledged(clients: Sequence[ClusterClient]) -> Mapping[str, int]:
    """Return the number of the spec of each job that any client was told of."""
    return {job: number for client in clients for job, number in client.specs.items()}
