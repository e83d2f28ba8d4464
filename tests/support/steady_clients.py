"""Clients that submit jobs all the time, and repeat with the same key what was not accepted."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2

from mlp_client.job_state import FINAL

ANSWERED_SECONDS = 120
TRY_AGAIN = (503, 507)


@dataclass
class SteadyClient:
    """Has a few jobs waiting or training at any time; each answer is success, or to try again."""

    url: str
    name: str
    specs: Sequence[Mapping[str, Any]]
    waiting: int = 2
    jobs: dict[str, int] = field(default_factory=dict)
    """The number of the spec of each acknowledged job."""
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers that should not have been given."""
    slowest: float = 0.0
    """Seconds that the slowest answer took."""
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self) -> None:
        open_: set[str] = set()
        try:
            with httpx2.Client(base_url=self.url, timeout=60) as self._http:
                for number in count():
                    while len(open_) >= self.waiting and not self.stop.wait(0.1):
                        open_ = {job for job in open_ if self._state(job) not in FINAL}
                    if self.stop.is_set():
                        return
                    open_.add(self._submit(number))
        except BaseException as exc:  # the test reports it
            self.error = exc

    def _submit(self, number: int) -> str:
        spec = number % len(self.specs)
        headers = {"Idempotency-Key": f"{self.name}-{number}"}
        deadline = time.monotonic() + ANSWERED_SECONDS
        while time.monotonic() < deadline:
            answer = self._send("POST", "/v1/jobs", json=self.specs[spec], headers=headers)
            if answer.status_code == 201:
                job = str(answer.json()["id"])
                self.jobs[job] = spec
                return job
            time.sleep(0.1)
        raise AssertionError(f"{self.name}-{number} was not accepted in {ANSWERED_SECONDS} s")

    def _state(self, job: str) -> str:
        answer = self._send("GET", f"/v1/jobs/{job}")
        return str(answer.json()["state"]) if answer.status_code == 200 else "unknown"

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        started = time.monotonic()
        answer = self._http.request(method, path, **options)
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.answers[f"{method} {answer.status_code}"] += 1
        may_try_again = answer.status_code in TRY_AGAIN and "retry-after" in answer.headers
        if not (answer.is_success or may_try_again):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


@contextmanager
def working(clients: Sequence[SteadyClient]) -> Iterator[None]:
    """Run each client in a thread of its own; at the end, stop them and raise their errors."""
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
    assert [client.error for client in clients] == [None] * len(clients)


def acknowledged(clients: Sequence[SteadyClient]) -> dict[str, int]:
    """Return the number of the spec of each job that any client was told of."""
    return {job: spec for client in clients for job, spec in client.jobs.items()}
