"""One dispatcher requeues what silent workers of other hosts had; all others leave that alone."""

import time
from collections.abc import Callable

import pytest

from service.domain.errors import StoreBroken
from service.domain.room import Room
from service.store.artifacts import Artifacts
from service.store.hosts import HostStore
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work import leader as module
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.leader import REST_SWEEPS, SWEEPS_PER_EXPLANATION, Leader
from service.work.lost_workers import LOST_AFTER_SWEEPS
from service.work.sharing import Sharing
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness
from tests.support.fake_workers import FakeLauncher
from tests.support.job_records import finish, sized
from tests.support.server_process import eventually


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url  # only this database is shared by several hosts


class Hosts:
    """A host `a` with a dispatcher, and the leader on a host `b`."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self.database = database
        self.a = DispatcherHarness(database, artifacts, queue=Queue(database, "a"))
        self.b = DispatcherHarness(database, artifacts, queue=Queue(database, "b"))
        self.is_leading = True
        leftovers = JobLeftovers(self.b.queue, artifacts)
        self.leader = Leader(self.b.queue, leftovers, Sharing(is_leading=lambda: self.is_leading))

    def sweep(self, times: int = LOST_AFTER_SWEEPS + 1) -> None:
        for _ in range(times):
            self.leader.sweep()


@pytest.fixture
def hosts(database: Database, artifacts: Artifacts) -> Hosts:
    return Hosts(database, artifacts)


def test_what_a_lost_host_had_is_queued_again(hosts: Hosts) -> None:
    job, _ = hosts.a.run_job()
    hosts.sweep(LOST_AFTER_SWEEPS)
    assert hosts.a.state(job) == "running"
    hosts.sweep(1)
    assert hosts.a.state(job) == "queued"
    assert hosts.a.reason(job) == ("worker_lost", "The worker gave no heartbeat for 15 seconds.")
    claim = hosts.b.queue.claim()
    assert claim is not None
    assert (claim.job, claim.attempt) == (job, 2)


def test_a_worker_that_gives_heartbeats_elsewhere_is_left_alone(hosts: Hosts) -> None:
    job, attempt = hosts.a.run_job()
    for batches in range(3 * LOST_AFTER_SWEEPS):
        hosts.sweep(1)
        attempt.heartbeat((0, batches))
    assert hosts.a.state(job) == "running"


def test_who_does_not_lead_touches_no_rows_of_others(hosts: Hosts) -> None:
    job, _ = hosts.a.run_job()
    hosts.is_leading = False
    hosts.sweep(3 * LOST_AFTER_SWEEPS)
    assert hosts.a.state(job) == "running"
    hosts.is_leading = True
    hosts.sweep(LOST_AFTER_SWEEPS)
    assert hosts.a.state(job) == "running", "it counts from where it begins to lead"


def test_a_dispatcher_leaves_the_workers_of_another_host_of_its_machine_alone(
    hosts: Hosts,
) -> None:
    """Both see the process: one must not count it, adopt it, or stop it when it shuts down."""
    job, _ = hosts.a.run_job()
    hosts.b.step()
    assert hosts.b.dispatcher.tracked == {}
    hosts.b.dispatcher.drain()
    assert hosts.a.state(job) == "running"
    assert hosts.a.launcher.calls == hosts.b.launcher.calls == []


def test_a_host_that_starts_again_adopts_its_own_workers(hosts: Hosts) -> None:
    job, _ = hosts.a.run_job()
    hosts.a.with_new_dispatcher().step()
    assert [key for key, _ in hosts.a.dispatcher.tracked] == [job]


def test_a_dispatcher_that_does_not_lead_deletes_no_files(
    database: Database, artifacts: Artifacts
) -> None:
    jobs, queue = JobStore(database), Queue(database, "b")
    job = submit(jobs)
    artifacts.put(f"{job}/1/1-0.safetensors", b"weights")
    jobs.delete(job)
    follower = Sharing(is_leading=lambda: False)
    Leader(queue, JobLeftovers(queue, artifacts), follower).sweep()
    assert artifacts.folders() == [job]
    Leader(queue, JobLeftovers(queue, artifacts)).sweep()
    assert artifacts.folders() == []


def test_it_watches_as_long_as_another_host_works_or_may_begin_to(hosts: Hosts) -> None:
    def watches() -> bool:
        hosts.sweep(1)
        return hosts.leader.watches

    assert not watches()
    job = submit(hosts.a.jobs)
    assert watches(), "it may be claimed at any moment"
    hosts.a.step()
    attempt = hosts.a.attempt(job)
    assert watches()
    finish(attempt)
    assert not watches()
    submit(hosts.a.jobs)
    hosts.is_leading = False
    assert not watches()


def test_a_round_that_was_woken_between_two_sweeps_is_followed_by_a_sweep(hosts: Hosts) -> None:
    """Else a host that claims now and dies would be noticed five seconds too late."""
    dispatcher = Dispatcher(
        hosts.b.queue,
        FakeLauncher(capacity=0),
        JobLeftovers(hosts.b.queue, hosts.b.artifacts),
        hosts.b.clock,
        sharing=Sharing(idle_seconds=5.0, tidy_seconds=40.0),
    )
    dispatcher.step()
    assert dispatcher.seconds_to_wait() == 5
    submit(hosts.a.jobs)
    dispatcher.step()
    assert dispatcher.seconds_to_wait() == 1
    hosts.b.clock.now += 1
    dispatcher.step()
    assert dispatcher.seconds_to_wait() == 1, "a job waits"


class CountingLeftovers:
    """Leftovers that take long to be found."""

    def __init__(self) -> None:
        self.sweeps, self.collected = 0, 0

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        while goes_on():
            self.collected += 1

    def sweep(self) -> None:
        self.sweeps += 1

    def collect(self, job: str) -> None:
        """Find nothing."""


def test_while_nobody_works_the_leader_of_several_hosts_seldom_tidies(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.001)
    leftovers, clock, leads = CountingLeftovers(), hosts.b.clock, [True]
    sharing = Sharing(is_leading=lambda: leads[0], tidy_seconds=40.0)
    leader = Leader(hosts.b.queue, leftovers, sharing, clock)

    def swept(seconds: int) -> int:
        before = leftovers.sweeps
        for _ in range(seconds):
            clock.now += 1
            leader.sweep()
        return leftovers.sweeps - before

    assert swept(80) == 2
    eventually(lambda: leftovers.collected > 3, "what earlier leaders left to be deleted")
    hosts.a.run_job()
    assert swept(9) == 9
    leads[0] = False
    assert swept(1) == 0
    time.sleep(0.05)
    before = leftovers.collected
    time.sleep(0.05)
    assert leftovers.collected == before, "whoever leads next collects"


class FailingLeftovers:
    """Leftovers in a bucket that is away."""

    def __init__(self) -> None:
        self.tries = 0

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Find nothing."""

    def sweep(self) -> None:
        self.tries += 1
        raise StoreBroken("the bucket is away")

    def collect(self, job: str) -> None:
        """Find nothing."""


def test_leftovers_that_can_not_be_deleted_keep_no_job_from_starting(
    database: Database, artifacts: Artifacts
) -> None:
    harness, leftovers = DispatcherHarness(database, artifacts), FailingLeftovers()
    dispatcher = Dispatcher(harness.queue, harness.launcher, leftovers, harness.clock)
    job = submit(harness.jobs)
    dispatcher.step()
    assert harness.state(job) == "running"
    assert leftovers.tries == 1
    for _ in range(REST_SWEEPS + 1):
        harness.clock.now += 1
        dispatcher.step()
    assert leftovers.tries == 2, "nobody waits for the bucket in each round"


def test_the_leader_explains_why_jobs_of_no_host_wait(
    database: Database, artifacts: Artifacts
) -> None:
    [job] = sized(database, 500)
    queue = Queue(database, room=Room(100, 100))
    leftovers = JobLeftovers(queue, artifacts)
    leading = False
    leader = Leader(queue, leftovers, Sharing(is_leading=lambda: leading))
    if not database.file:
        HostStore(database).join("a", "lab", 1, 100, "1.0")
    for _ in range(2 * SWEEPS_PER_EXPLANATION):
        leader.sweep()
    assert JobStore(database).get(job).reason is None
    leading = True
    leader.sweep()
    reason = JobStore(database).get(job).reason
    assert reason
    assert reason.code == "needs_memory"
