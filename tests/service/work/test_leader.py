"""One dispatcher requeues what silent workers of other hosts had; all others leave that alone."""

import pytest

from service.domain.errors import StoreBroken
from service.store.artifacts import Artifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.leader import REST_SWEEPS, Leader
from service.work.lost_workers import LOST_AFTER_SWEEPS
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness


class Hosts:
    """A host `a` with a dispatcher, and the leader on a host `b`."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self.database = database
        self.a = DispatcherHarness(database, artifacts, queue=Queue(database, "a"))
        self.b = DispatcherHarness(database, artifacts, queue=Queue(database, "b"))
        self.is_leading = True
        leftovers = JobLeftovers(self.b.queue, artifacts)
        self.leader = Leader(self.b.queue, leftovers, lambda: self.is_leading)

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
    Leader(queue, JobLeftovers(queue, artifacts), lambda: False).sweep()
    assert artifacts.folders() == [job]
    Leader(queue, JobLeftovers(queue, artifacts)).sweep()
    assert artifacts.folders() == []


class FailingLeftovers:
    """Leftovers in a bucket that is away."""

    def __init__(self) -> None:
        self.tries = 0

    def collect_all(self) -> None:
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
