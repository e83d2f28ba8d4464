"""Servers killed while clients submit and workers train."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import median

import httpx2

from tests.support.campaign import Campaign
from tests.support.ledger import Ledger, zombies
from tests.support.server_process import Server, eventually

SHORT = (
    {"preset": "linear", "batch_size": 4096, "epochs": 1},
    {"hidden": [16], "batch_size": 2048, "epochs": 2},
)
CLIENTS = 2
ANSWERED_SECONDS = 60


@dataclass
class Client:
    """Submits job after job, each with a key of its own, until each is acknowledged."""

    url: str
    name: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The number of the spec of each job."""
    retries: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx2.Client(base_url=self.url, timeout=10) as http:
                for number in count():
                    self._submit(http, number)
                    if self.stop.wait(1.5):
                        return
        except BaseException as exc:  # the test reports it
            self.error = exc

    def _submit(self, http: httpx2.Client, number: int) -> None:
        spec = number % len(SHORT)
        headers = {"Idempotency-Key": f"{self.name}-{number}"}
        deadline = time.monotonic() + ANSWERED_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = http.post("/v1/jobs", json=SHORT[spec], headers=headers)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code != 503:
                assert answer.status_code == 201, answer.text
                self.acknowledged[answer.json()["id"]] = spec
                return
            self.retries += 1
            time.sleep(0.1)
        raise AssertionError(f"{self.name}-{number} was not answered in {ANSWERED_SECONDS} s")


def test_killed_servers_lose_no_job_and_disturb_none(server: Server, campaign: Campaign) -> None:
    kills, moment = campaign.of(12, 200), random.Random(11)
    references = [server.submit(**spec) for spec in SHORT]
    for job in references:
        server.wait(job, "succeeded")
    references.append(server.submit(hidden=[64], batch_size=512, epochs=campaign.of(20, 1000)))
    clients = [Client(server.url, f"client-{number}") for number in range(CLIENTS)]
    with running(clients):
        starts = [kill_and_start(server, moment) for _ in range(kills)]
    assert [client.error for client in clients] == [None] * CLIENTS
    specs = {job: spec for client in clients for job, spec in client.acknowledged.items()}
    ledger = Ledger(server.data_dir)
    eventually(lambda: ended(ledger), "all jobs to end", 90 + 2 * len(specs))
    requests = len(specs) + sum(client.retries for client in clients)
    measured = f"{kills}, with {len(specs)} jobs submitted in {requests} requests"
    campaign.figure("kills", target=str(kills), measured=measured, met=True)
    wrongs = faults(server, ledger, references, specs)
    for what, found in wrongs.items():
        campaign.figure(what, target="0", measured=len(found), met=not found)
    note_starts(campaign, starts)
    assert not any(wrongs.values()), wrongs
    assert ledger.is_whole()
    eventually(lambda: not server.workers(), "the last workers to end")
    eventually(lambda: not zombies(server.pid), "zombies to be reaped")


@contextmanager
def running(clients: list[Client]) -> Iterator[None]:
    """Run each client in a thread of its own, and stop them at the end."""
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    yield
    for client in clients:
        client.stop.set()
    for thread in threads:
        thread.join()


def faults(
    server: Server, ledger: Ledger, references: list[str], specs: dict[str, int]
) -> dict[str, list[str]]:
    """Return every kind of fault, each with the jobs that show it."""
    states = ledger.states()
    sums = [ledger.row(job)["weights_sha256"] for job in references]
    return {
        "acknowledged jobs lost": [job for job in specs if states.get(job) != "succeeded"],
        "jobs that no client submitted": sorted(set(states) - {*specs, *references}),
        "jobs with two ends, or none": [job for job in states if len(ledger.ends(job)) != 1],
        "networks with other bytes than an undisturbed run": [
            job for job, spec in specs.items() if ledger.row(job)["weights_sha256"] != sums[spec]
        ],
        "attempts ended by the kill of a server": [
            job for job in states if begun_again(server, ledger, job)
        ],
    }


def note_starts(campaign: Campaign, starts: list[float]) -> None:
    middle = median(starts)
    campaign.figure(
        "seconds from start to ready, median", target="1", measured=f"{middle:.2f}", met=middle <= 1
    )


def kill_and_start(server: Server, moment: random.Random) -> float:
    """Kill the server at a random moment; return the seconds until the next is ready."""
    time.sleep(moment.uniform(0, 0.8))
    server.kill()
    started = time.monotonic()
    server.start()
    return time.monotonic() - started


def ended(ledger: Ledger) -> bool:
    return set(ledger.states().values()) <= {"succeeded", "failed"}


def begun_again(server: Server, ledger: Ledger, job: str) -> bool:
    """Return whether an attempt was replaced although its worker had begun.

    An attempt whose server was killed between the claim and the start must be replaced.
    """
    log = server.data_dir / "jobs" / job / "worker.log"
    last = ledger.row(job)["attempt"]
    return any(f"attempt {number} begins" in log.read_text() for number in range(1, last))
