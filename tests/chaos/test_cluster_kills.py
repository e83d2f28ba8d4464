"""Workers, hosts and API servers of a cluster killed while clients use it."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mlp_client.job_state import FINAL
from tests.support import small_uploads
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster, HostProcess
from tests.support.cluster_clients import UPLOADED, ClusterClient, acknowledged, running, spec
from tests.support.cluster_ledger import ClusterLedger
from tests.support.server_process import Server, eventually

KILLS = 500
KILLING_SECONDS = 3600
"""A machine that is too slow for all kills stops after this time, and the figures say so."""
UPLOAD = small_uploads.npz(seed=5, train=600, test=90)
SPARED_AFTER = 3
"""Workers lost in a row; after five the row would fail, as it should."""
DEAD_SECONDS = 40
"""For so long a host stays dead at most, until others have its jobs."""
TIDY_SECONDS_EACH = 0.5
"""A new leader looks at the objects of one job after the other, with a pause between them."""
LOST_IN_A_ROW = """
SELECT id, lost_workers FROM jobs UNION ALL SELECT id, lost_workers FROM datasets
UNION ALL SELECT id, lost_workers FROM evaluation_tasks
"""
BEGUN = """
SELECT id, attempt FROM jobs WHERE heartbeat > 0 AND state IN ('running', 'pausing', 'cancelling')
"""


def test_kills_in_a_cluster_lose_double_and_change_nothing(
    cluster: Cluster, campaign: Campaign, datasets_dir: Path, tmp_path: Path
) -> None:
    kills, count = campaign.of((4, 1), (KILLS, 3))
    digests = undisturbed(tmp_path / "alone", datasets_dir)
    cluster.environment["MLP_MAX_OWNER_DATASETS"] = "1000"
    with ThreadPoolExecutor() as pool:
        servers = pool.map(cluster.server, ("api-1", "api-2"))
        hosts = pool.map(cluster.host, ("one", "two", "three"))
        urls, _ = [server.url for server in servers], list(hosts)
    clients = [ClusterClient(urls, f"client-{number}", UPLOAD) for number in range(count)]
    killing = Killing(cluster, random.Random(19), cuts_power=campaign.full)
    with running(clients), killing.watching():
        deadline = time.monotonic() + KILLING_SECONDS
        while killing.counts.total() < kills and time.monotonic() < deadline:
            killing.kill_something()
        killing.finish()
    assert [client.error for client in clients] == [None] * len(clients)
    ledger = ClusterLedger(cluster)
    jobs = acknowledged(clients)
    eventually(lambda: has_ended(ledger), "everything to end", 90 + 2 * len(jobs))
    note_kills(campaign, killing, clients)
    wrongs = faults(ledger, clients, digests)
    wrongs["processes or unnamed files left"] = left_behind(cluster, ledger)
    for what, found in wrongs.items():
        campaign.figure(what, target="0", measured=len(found), met=not found)
    note_recovery(campaign, killing)
    assert not any(wrongs.values()), wrongs


def undisturbed(place: Path, datasets_dir: Path) -> list[str]:
    """Return the digests of the weights of each spec, as one machine with SQLite trains them."""
    sets = small_uploads.with_shipped(place.with_name("sets"), datasets_dir)
    server = Server(place, sets).start()
    try:
        assert server.http.put("/v1/datasets/same", content=UPLOAD).status_code == 201
        found = server.http.get("/v1/datasets/same", params={"wait": 60}).json()
        assert found["state"] == "ready", found
        jobs = [server.submit(**spec(number, "same")) for number in range(UPLOADED + 1)]
        return [str(server.wait(job, "succeeded")["weights_sha256"]) for job in jobs]
    finally:
        server.stop()


@dataclass
class Killing:
    """Kills processes of a cluster, and notes when work goes on."""

    cluster: Cluster
    random: random.Random
    cuts_power: bool
    """Whether hosts die with their workers, too, and stay dead until others have their jobs."""
    counts: Counter[str] = field(default_factory=Counter)
    ended: list[tuple[str, str, int, float]] = field(default_factory=list)
    """What was killed, with the job, the attempt and the time of each worker that ended by it."""
    begun: dict[str, dict[int, float]] = field(default_factory=dict)
    """When each attempt of a job was first seen to have begun."""

    def __post_init__(self) -> None:
        self._dead: dict[HostProcess, float] = {}
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note when attempts begin, in a thread of its own."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.03):
            for job, attempt in self.cluster.query(BEGUN):
                self.begun.setdefault(job, {}).setdefault(attempt, time.monotonic())

    def kill_something(self) -> None:
        """Wait for a moment, and kill; if there is nothing to kill of a kind, choose again."""
        deadline = time.monotonic() + 60
        while True:
            self._revive()
            time.sleep(self.random.uniform(0, 1.5))
            kinds: list[Callable[[], str]] = [self._kill_worker] * 5
            kinds += [self._kill_host] * 2 + [self._kill_server] * 2
            kinds += [self._cut_power] * (self.cuts_power and not self._dead)
            if what := self.random.choice(kinds)():
                self.counts[what] += 1
                return
            assert time.monotonic() < deadline, "nothing was there to be killed"

    def finish(self) -> None:
        """Start again what is still dead."""
        for host in self._dead:
            host.start()
        self._dead.clear()

    def _kill_worker(self) -> str:
        lost = dict(self.cluster.query(LOST_IN_A_ROW))
        found = [worker for member in self.cluster.members for worker in member.workers()]
        found = [worker for worker in found if lost.get(worker.row, 0) < SPARED_AFTER]
        if not found:
            return ""
        worker = self.random.choice(found)
        if not worker.send(signal.SIGKILL):
            return ""
        self.ended.append(("worker", worker.row, worker.attempt, time.monotonic()))
        return "workers"

    def _kill_host(self) -> str:
        host = self.random.choice([host for host in self.cluster.hosts.values() if host.is_running])
        host.kill()
        time.sleep(self.random.uniform(0, 1.5))
        host.start()
        return "hosts, whose workers go on"

    def _kill_server(self) -> str:
        server = self.random.choice(list(self.cluster.servers.values()))
        server.kill()
        time.sleep(self.random.uniform(0, 1.5))
        server.start()
        return "API servers"

    def _cut_power(self) -> str:
        host = self.random.choice(list(self.cluster.hosts.values()))
        rows = self.cluster.query(
            "SELECT id, attempt FROM jobs WHERE host = %s AND state = 'running'", host.id
        )
        host.cut_power()
        self._dead[host] = time.monotonic()
        self.ended += [("host", job, attempt, time.monotonic()) for job, attempt in rows]
        return "hosts with their workers"

    def _revive(self) -> None:
        """Start dead hosts again after others have had the time to take their jobs over."""
        for host, since in list(self._dead.items()):
            if time.monotonic() > since + DEAD_SECONDS:
                host.start()
                del self._dead[host]

    def recovery(self, what: str) -> list[float]:
        """Return the seconds from each end to the first beat of the next attempt, if there was one.

        A client may have paused or cancelled the job meanwhile.
        """
        seconds = []
        for killed, job, attempt, at in self.ended:
            after = self.begun.get(job, {}).get(attempt + 1)
            if killed == what and after is not None and after > at:
                seconds.append(after - at)
        return seconds


def has_ended(ledger: ClusterLedger) -> bool:
    """Return whether no job, check or evaluation is under way."""
    jobs = set(ledger.states().values()) <= {*FINAL}
    sets = ledger.query("SELECT 1 FROM datasets WHERE state NOT IN ('ready', 'failed')")
    evaluations = ledger.query(
        "SELECT 1 FROM evaluation_tasks WHERE state NOT IN ('succeeded', 'failed')"
    )
    return jobs and not sets and not evaluations


def faults(
    ledger: ClusterLedger, clients: list[ClusterClient], digests: list[str]
) -> dict[str, list[str]]:
    """Return every kind of fault, each with the rows that show it."""
    states, jobs = ledger.states(), acknowledged(clients)
    cancelled = {job for client in clients for job in client.cancelled}
    sets = dict(ledger.query("SELECT name, state FROM datasets"))
    done = [job for job in jobs if states.get(job) == "succeeded"]
    return {
        "acknowledged jobs lost": [
            job
            for job in jobs
            if states.get(job) != "succeeded"
            and not (job in cancelled and states.get(job) == "cancelled")
        ],
        "jobs that no client submitted": sorted(set(states) - set(jobs)),
        "jobs with two ends, or none": [job for job in states if len(ledger.ends(job)) != 1],
        "networks with other bytes than on one machine": [
            job for job in done if ledger.row(job)["weights_sha256"] != digests[jobs[job]]
        ],
        "jobs with a doubled or missing epoch": [
            job
            for job in done
            if ledger.epochs(job) != list(range(1, int(spec(jobs[job])["epochs"]) + 1))
        ],
        "jobs with a doubled or missing event": ledger.unnumbered(),
        "jobs that share a place in the order of ends": ledger.same_finish(),
        "acknowledged data sets that are not ready": [
            name for client in clients for name in client.sets if sets.get(name) != "ready"
        ],
        "evaluations that failed": [
            id_
            for (id_,) in ledger.query("SELECT id FROM evaluation_tasks WHERE state <> 'succeeded'")
        ],
    }


def left_behind(cluster: Cluster, ledger: ClusterLedger) -> list[str]:
    """Stop everything, let a new leader tidy, and return what is left nevertheless."""
    for member in cluster.members:
        member.send(signal.SIGTERM)
    for member in cluster.members:
        assert member.wait() == 0, member.log()[-4000:]
    workers = [str(worker) for member in cluster.members for worker in member.workers()]
    for member in cluster.members:
        member.launch()  # what each does for itself, it does at its start, too

    def files() -> list[str]:
        copies = [*cluster.place.glob("*/uploads/*"), *cluster.place.glob("*/datasets/.staging/*")]
        return [*ledger.strangers(), *map(str, copies)]

    seconds = 60 + TIDY_SECONDS_EACH * len(ledger.states())
    with suppress(AssertionError):
        eventually(lambda: not files(), "the tidy of the leader and of each host", seconds)
    return [*workers, *files(), *[f"{key} is missing" for key in ledger.missing()]]


def note_kills(campaign: Campaign, killing: Killing, clients: list[ClusterClient]) -> None:
    counts = killing.counts
    each = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    jobs = len(acknowledged(clients))
    requests = sum(client.requests for client in clients)
    repeated = sum(client.repeated for client in clients)
    measured = f"{counts.total()}: {each}; {jobs} jobs, {requests} requests, {repeated} repeated"
    campaign.figure("kills", target=str(KILLS), measured=measured, met=counts.total() >= KILLS)


def note_recovery(campaign: Campaign, killing: Killing) -> None:
    for what, target in (("worker", 1.0), ("host", 17.0)):
        if seconds := killing.recovery(what):
            middle = median(seconds)
            measured = f"{middle:.2f} of {len(seconds)}, at most {max(seconds):.2f}"
            what = f"seconds from the end of a {what} to the next attempt's first beat, median"
            campaign.figure(what, target=f"{target:g}", measured=measured, met=middle <= target)
