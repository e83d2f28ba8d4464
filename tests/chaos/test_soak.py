"""Mixed use for half an hour, during which the server must not accumulate resources."""

import io
import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest

from tests.conftest import QUICK
from tests.support.campaign import Campaign
from tests.support.ledger import zombies
from tests.support.server_process import Server, eventually

VISITORS = 3
REAPED_SECONDS = 6
LONG = {"preset": "mlp-relu", "batch_size": 512, "epochs": 20}
SAMPLE = {"inputs": [{"dataset": "mnist", "index": 7}]}
READS = (
    "/v1/jobs/{job}",
    "/v1/jobs/{job}/epochs",
    "/v1/jobs/{job}/epochs.csv",
    "/v1/jobs/{job}/curves.png",
    "/v1/jobs/{job}/curves.svg",
    "/v1/curves.svg?jobs={job},{other}",
    "/v1/models/{job}/weights.npz",
    "/v1/models/{job}/weights.safetensors",
    "/v1/models/latest/weights.json",
    "/v1/models/{job}/layers/1/weights.png",
    "/v1/models/latest/layers/1/weights.svg?units=10",
    "/v1/jobs?limit=10",
    "/v1/jobs?state=succeeded&state=paused",
    "/v1/presets",
    "/v1/datasets/mnist/samples.png",
    "/v1/datasets/mnist/train/5.json",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/readyz",
    "/v1/models/latest/layers/9/weights.png",
    "/v1/jobs/nobody",
    "/nowhere/{job}",
)


class Visitor(threading.Thread):
    """A client that uses the service at random until it is stopped."""

    def __init__(self, url: str, seed: int, digit: bytes) -> None:
        super().__init__(name=f"visitor {seed}")
        self._http = httpx2.Client(base_url=url, timeout=60)
        self._chance = random.Random(seed)
        self._digit = digit
        self._jobs: list[str] = []
        self._over = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.broken: list[str] = []

    def stop(self) -> None:
        self._over.set()
        self.join()
        self._http.close()

    def run(self) -> None:
        actions = (self.read, self.predict, self.submit, self.act, self.follow, self.err)
        while not self._over.wait(self._chance.random() * 0.08):
            action: Callable[[], httpx2.Response]
            [action] = self._chance.choices(actions, (9, 4, 3, 4, 2, 2))
            try:
                answer = action()
            except httpx2.HTTPError as exc:
                self.broken.append(f"{action.__name__}: {exc!r}")
                continue
            self.done[action.__name__] += 1
            self.statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                self.broken.append(f"{answer.request.url}: {answer.text}")

    def _any_job(self) -> str:
        if not self._jobs or self._chance.random() < 0.1:
            self._jobs = [job["id"] for job in self._http.get("/v1/jobs").json()["data"]]
        return self._chance.choice([*self._jobs, "latest"])

    def read(self) -> httpx2.Response:
        path = self._chance.choice(READS)
        return self._http.get(path.format(job=self._any_job(), other=self._any_job()))

    def predict(self) -> httpx2.Response:
        array = io.BytesIO()
        np.save(array, np.full((3, 28, 28), self._chance.randrange(255), np.uint8))
        body = self._chance.choice(
            [
                {"json": SAMPLE},
                {"content": self._digit, "headers": {"Content-Type": "image/png"}},
                {"content": array.getvalue(), "headers": {"Content-Type": "application/x-npy"}},
                {"files": [("image", ("7.png", self._digit)), ("image", ("no.png", b"none"))]},
            ]
        )
        path = f"/v1/models/{self._any_job()}/predict"
        return self._http.post(path, **body)  # type: ignore[arg-type]  # of various types

    def submit(self) -> httpx2.Response:
        """Submit a job, sometimes with a repeated key; if the queue is long, cancel one instead."""
        queued = self._http.get("/v1/jobs?state=queued&limit=10").json()
        if queued["has_more"]:
            return self._http.post(f"/v1/jobs/{queued['last_id']}/cancel")
        headers = {}
        if self._chance.random() < 0.3:
            headers["Idempotency-Key"] = f"retried-{self._chance.randrange(20)}"
        spec = LONG if self._chance.random() < 0.2 else QUICK
        return self._http.post("/v1/jobs", json=spec, headers=headers)

    def act(self) -> httpx2.Response:
        job = self._any_job()
        action = self._chance.choice(["pause", "resume", "resume", "cancel", "delete"])
        if action == "delete":
            return self._http.delete(f"/v1/jobs/{job}")
        return self._http.post(f"/v1/jobs/{job}/{action}")

    def follow(self) -> httpx2.Response:
        """Open an event stream, and close it after a few lines or read it to its end."""
        with self._http.stream("GET", f"/v1/jobs/{self._any_job()}/events") as stream:
            for number, _ in enumerate(stream.iter_lines()):
                if number > self._chance.randrange(40):
                    break
        return stream

    def err(self) -> httpx2.Response:
        post, job = self._http.post, self._any_job()
        image = {"Content-Type": "image/png"}
        requests: list[Callable[[], httpx2.Response]] = [
            lambda: post("/v1/jobs", json={"epochs": -1, "nmae": 1}),
            lambda: post("/v1/jobs", content=b"{", headers={"Content-Type": "text/x"}),
            lambda: post("/v1/jobs", json={"metadata": {"a": "x" * 300_000}}),
            lambda: post(f"/v1/models/{job}/predict", content=b"\x89PNG", headers=image),
            lambda: post(f"/v1/models/{job}/predict", json={"inputs": [{}]}),
            lambda: self._http.put(f"/v1/jobs/{job}"),
            lambda: self._http.get("/v1/jobs", headers={"Host": "elsewhere"}),
        ]
        return self._chance.choice(requests)()


@dataclass(frozen=True)
class Sample:
    """The resources that a server used at one moment."""

    second: float
    """Seconds since the watcher was created."""
    memory: float
    """Anonymous memory in MiB, without files and shared libraries."""
    descriptors: int
    threads: int
    job: int
    """The size of the largest job's folder in bytes."""
    database: int
    """The size of the database file in bytes."""
    zombies: frozenset[int]


class Watcher(threading.Thread):
    """Takes a sample of the server at regular intervals."""

    def __init__(self, server: Server, every: float) -> None:
        super().__init__(name="watcher")
        self._server, self._every = server, every
        self._over = threading.Event()
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    def run(self) -> None:
        while not self._over.wait(self._every):
            self.samples.append(self.look())

    def look(self) -> Sample:
        proc, data_dir = Path(f"/proc/{self._server.pid}"), self._server.data_dir
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        return Sample(
            second=time.monotonic() - self._began,
            memory=int(status["RssAnon"].split()[0]) / 1024,
            descriptors=len(list((proc / "fd").iterdir())),
            threads=int(status["Threads"]),
            job=max((size_of(folder) for folder in (data_dir / "jobs").iterdir()), default=0),
            database=(data_dir / "jobs.sqlite3").stat().st_size,
            zombies=frozenset(zombies(self._server.pid)),
        )

    def stop(self) -> None:
        self._over.set()
        self.join()

    def median(self, of: str, begin: float, end: float) -> float:
        """Return the median over a part of the time, which runs from 0 to 1."""
        last = self.samples[-1].second
        within = [it for it in self.samples if begin <= it.second / last <= end]
        return float(statistics.median(getattr(sample, of) for sample in within))

    def growth(self, of: str) -> float:
        """Return how much larger the median is in the last tenth than after the first third."""
        return self.median(of, 0.9, 1) - self.median(of, 0.33, 0.43)

    def lasting_zombies(self) -> set[int]:
        """Return dead children seen for longer than the dispatcher takes to reap them."""
        seen = {pid for sample in self.samples for pid in sample.zombies}
        times = {
            pid: [sample.second for sample in self.samples if pid in sample.zombies] for pid in seen
        }
        return {pid for pid, when in times.items() if when[-1] - when[0] > REAPED_SECONDS}


def size_of(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except FileNotFoundError:
                continue  # deleted meanwhile
    return total


def use(server: Server, seconds: float, kill_every: float) -> list[Visitor]:
    """Let visitors use the service for some time, and kill a worker now and then."""
    digit = server.http.get("/v1/datasets/mnist/test/0.png").content
    visitors = [Visitor(server.url, seed, digit) for seed in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(kill_every, left))
        for pid in server.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
    for visitor in visitors:
        visitor.stop()
    return visitors


def settle(server: Server, keep: int) -> None:
    """Cancel what is not finished, and wait until only the jobs to be kept are left."""
    for state in ("queued", "paused", "running", "pausing"):
        for job in server.http.get(f"/v1/jobs?state={state}&limit=100").json()["data"]:
            server.act(job["id"], "cancel")

    def settled() -> bool:
        jobs = server.http.get("/v1/jobs?limit=100").json()["data"]
        return len(jobs) <= keep + 1 and not server.workers()

    eventually(settled, "all jobs except those kept to be deleted", 60)


def folders_of_no_job(server: Server) -> set[str]:
    # A folder is deleted a moment after its job.
    folders = {path.name for path in (server.data_dir / "jobs").iterdir()}
    return folders - {job["id"] for job in server.http.get("/v1/jobs?limit=100").json()["data"]}


@pytest.fixture
def keep(campaign: Campaign) -> int:
    return campaign.of(3, 20)


@pytest.fixture
def soaked(tmp_path: Path, datasets_dir: Path, keep: int) -> Iterator[Server]:
    environment = {"MLP_KEEP_JOBS": str(keep), "MLP_CONCURRENT_JOBS": "2"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    yield server
    server.stop()


def test_no_resource_grows_under_mixed_use(soaked: Server, keep: int, campaign: Campaign) -> None:
    seconds = campaign.of(10, 1800)
    watcher = Watcher(soaked, every=campaign.of(0.7, 5))
    watcher.start()
    visitors = use(soaked, seconds, kill_every=campaign.of(3, 60))
    watcher.stop()
    settle(soaked, keep)

    broken = [what for visitor in visitors for what in visitor.broken]
    done = sum((visitor.done for visitor in visitors), Counter[str]())
    campaign.figure("answers, all below 500", target="all", measured=done.total(), met=not broken)
    grown = note_growth(campaign, watcher, f"{seconds // 60:.0f} min")
    grown |= note_disk_use(campaign, watcher)
    lasting = watcher.lasting_zombies()
    eventually(lambda: not zombies(soaked.pid), "zombies to be reaped")
    eventually(lambda: not folders_of_no_job(soaked), "the folders of deleted jobs to be deleted")
    left = folders_of_no_job(soaked)
    campaign.figure("folders of no job at the end", target="0", measured=len(left), met=not left)
    campaign.figure("zombies left", target="0", measured=len(lasting), met=not lasting)

    assert not broken, broken[:5]
    assert set(done) == {"read", "predict", "submit", "act", "follow", "err"}
    assert all(amount <= most for amount, most in grown.values()), grown
    assert not left
    assert not lasting
    log = soaked.log()
    assert "worker_lost" in log, "no worker was killed"
    assert "job_pruned" in log, "retention had nothing to do"
    assert "Traceback" not in log
    assert "step_failed" not in log


Amounts = dict[str, tuple[float, float]]
"""The measured amount of each resource, and the greatest that is allowed."""


def note_growth(campaign: Campaign, watcher: Watcher, duration: str) -> Amounts:
    """Record how much more memory, descriptors and threads the server used in the end."""
    allowed = {"memory": campaign.of(40, 4), "descriptors": 6, "threads": 4}
    grown: Amounts = {what: (watcher.growth(what), most) for what, most in allowed.items()}
    for what, (amount, most) in grown.items():
        unit = " MiB" if what == "memory" else ""
        campaign.figure(
            f"growth of {what} from a third to the end of {duration}",
            target=f"≤ {most}{unit}",
            measured=f"{amount:+.1f}{unit}",
            met=amount <= most,
        )
    return grown


def note_disk_use(campaign: Campaign, watcher: Watcher) -> Amounts:
    """Record the most that a job and the database took on disk, in MB.

    How many jobs there are at a moment is left to the visitors: they pause some.
    """
    used: Amounts = {
        "that one job took on disk": (max(it.job for it in watcher.samples) / 1e6, 10),
        "the database took": (max(it.database for it in watcher.samples) / 1e6, 2),
    }
    for what, (amount, most) in used.items():
        measured, met = f"{amount:.1f} MB", amount <= most
        campaign.figure(f"most {what}", target=f"≤ {most} MB", measured=measured, met=met)
    return used
