import itertools
import threading
from pathlib import Path

import pytest

from mlp_client.records import Job
from service.domain.errors import StoreBroken, StoreFull
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.files.local import Artifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work import dispatcher as module
from service.work.dispatcher import Dispatcher
from service.work.launchers.local import Exit, LocalLauncher
from service.work.process import STORE_EXIT, ProcessHandle
from tests.conftest import submit
from tests.support.fake_workers import Clock, FakeLauncher
from tests.support.job_records import BAD, DONE, ENVIRONMENT, SHUTDOWN, claim, query, saved
from tests.support.server_process import eventually


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Components:
    """A dispatcher with a real store, fake workers and a clock to turn."""

    def __init__(
        self, database: Database, artifacts: Artifacts, clock: Clock, capacity: int = 2
    ) -> None:
        self.database, self.artifacts, self.clock = database, artifacts, clock
        self.jobs, self.queue = JobStore(database), Queue(database)
        self.launcher = FakeLauncher(capacity)
        self.dispatcher = Dispatcher(self.queue, self.launcher, artifacts, clock)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.dispatcher.step()

    def attempt(self, job: str) -> Attempt:
        """What the worker of a running job holds, after its first beat."""
        number = self.jobs.get(job).attempt
        attempt = Attempt(self.database, job, number)
        attempt.begin(self.launcher.handles[job, number].stored(), ENVIRONMENT)
        return attempt

    def run(self) -> tuple[str, Attempt]:
        """Submit a job and let it run."""
        job = submit(self.jobs)
        self.step()
        return job, self.attempt(job)

    def state(self, job: str) -> str:
        return self.jobs.get(job).state

    def reason(self, job: str) -> tuple[str, str]:
        reason = self.jobs.get(job).reason
        assert reason is not None
        return reason.code, reason.message

    def heir(self) -> "Components":
        """The same house after a crash: another dispatcher, which knows no worker yet."""
        heir = Components(self.database, self.artifacts, self.clock)
        heir.launcher = self.launcher
        heir.dispatcher = Dispatcher(heir.queue, self.launcher, self.artifacts, self.clock)
        return heir


@pytest.fixture
def house(database: Database, artifacts: Artifacts, clock: Clock) -> Components:
    return Components(database, artifacts, clock)


# --- Claiming ---


def test_jobs_are_started_oldest_first_up_to_the_capacity(house: Components) -> None:
    ids = [submit(house.jobs) for _ in range(3)]
    house.step()
    assert house.launcher.started == [(ids[0], 1), (ids[1], 1)]
    assert [house.state(job) for job in ids] == ["running", "running", "queued"]
    house.step()
    assert len(house.launcher.started) == 2


def test_a_finished_worker_makes_room_for_the_next_job(house: Components) -> None:
    ids = [submit(house.jobs) for _ in range(3)]
    house.step()
    house.attempt(ids[0]).end(SUCCEEDED, DONE)
    house.step()
    assert len(house.launcher.started) == 2, "its process has not ended yet"
    house.launcher.end(ids[0], 1, 0)
    house.step()
    assert house.launcher.started[2:] == [(ids[2], 1)]
    assert house.state(ids[0]) == "succeeded"


def test_a_capacity_of_nothing_only_serves(
    database: Database, artifacts: Artifacts, clock: Clock
) -> None:
    house = Components(database, artifacts, clock, capacity=0)
    job = submit(house.jobs)
    house.step()
    assert house.state(job) == "queued"


# --- Lost workers ---


def test_a_worker_that_ends_without_a_word_is_lost(house: Components) -> None:
    job, _ = house.run()
    house.launcher.words = "last line"
    house.launcher.end(job, 1, -11)
    house.step()
    _, events = house.jobs.events(job)
    lost = next(event.data for event in events[2:] if event.data["state"] == "queued")
    assert lost["reason"] == {
        "code": "worker_lost",
        "message": "the worker was ended by SIGSEGV; its last log lines:\nlast line",
    }
    assert house.jobs.get(job).lost_workers == 1


def test_the_back_off_is_0_1_2_and_4_seconds(house: Components) -> None:
    job = submit(house.jobs)
    house.step()
    waits = []
    for attempt in range(1, 5):
        house.launcher.end(job, attempt, 1)
        house.step()
        lost_at = house.clock.now
        while len(house.launcher.started) == attempt:
            house.step(0.25)
        waits.append(house.clock.now - lost_at)
    assert waits == pytest.approx([0, 1, 2, 4], abs=0.25)
    assert house.launcher.started[-1] == (job, 5)


def test_a_job_that_waits_lets_the_next_one_pass(
    database: Database, artifacts: Artifacts, clock: Clock
) -> None:
    house = Components(database, artifacts, clock, capacity=1)
    first, second = submit(house.jobs), submit(house.jobs)
    house.step()
    for attempt in (1, 2):
        house.launcher.end(first, attempt, 1)
        house.step()
        house.step()
    assert house.launcher.started == [(first, 1), (first, 2), (second, 1)]


def test_five_deaths_in_a_row_fail_the_job(house: Components) -> None:
    job = submit(house.jobs)
    house.launcher.words = "Illegal instruction"
    house.step()
    for attempt in range(1, 6):
        house.launcher.end(job, attempt, -4)
        for _ in range(6):
            house.step(1)
    assert house.state(job) == "failed"
    code, message = house.reason(job)
    assert code == "worker_lost"
    assert "SIGILL" in message
    assert "Illegal instruction" in message
    assert len(house.launcher.started) == 5


def test_deaths_with_progress_between_them_go_on_at_once(house: Components) -> None:
    job = submit(house.jobs, epochs=20)
    house.step()
    for number in range(1, 8):
        attempt = house.attempt(job)
        attempt.commit(saved(attempt, number), [])
        house.launcher.end(job, number, 1)
        house.step()
        house.step()
    assert house.launcher.started[-1] == (job, 8)
    assert house.jobs.get(job).lost_workers == 1


def test_a_worker_that_cannot_be_started_is_no_loss_and_nothing_is_started_for_a_while(
    house: Components,
) -> None:
    house.launcher.refuses = OSError("no more processes")
    first, second = submit(house.jobs), submit(house.jobs)
    starts = []
    for _ in range(130):
        house.step(0.5)
        starts.append(house.jobs.get(first).attempt)
    seconds = [starts.index(attempt) / 2 for attempt in range(1, 8)]
    waits = [later - earlier for earlier, later in itertools.pairwise(seconds)]
    assert waits == [1, 2, 4, 8, 16, 16]
    assert house.reason(first) == ("no_worker", "no worker could be started: no more processes")
    assert (house.jobs.get(first).lost_workers, house.jobs.get(second).attempt) == (0, 0)
    house.launcher.refuses = None
    for _ in range(16):
        house.step(1)
    assert [job for job, _ in house.launcher.started] == [first, second]


def test_a_machine_that_can_start_nothing_tries_one_job_a_round(house: Components) -> None:
    """Else every job of a long queue is tried, in vain, each round."""
    house.launcher.refuses = OSError("no more processes")
    ids = [submit(house.jobs) for _ in range(4)]
    house.step()
    assert [house.jobs.get(job).attempt for job in ids] == [1, 0, 0, 0]


# --- Sweeps ---


def test_a_worker_without_a_sign_of_life_is_given_up(house: Components) -> None:
    job, attempt = house.run()
    attempt.heartbeat((0, 1))
    house.step(1)
    for sweep in range(14):
        house.step(1)
        assert house.state(job) == "running", f"after sweep {sweep}"
    house.step(1)
    assert house.jobs.get(job).lost_workers == 1
    assert house.launcher.log == ["kill"]
    _, events = house.jobs.events(job)
    assert "no sign of life" in events[-2].data["reason"]["message"]


def test_a_worker_is_fenced_before_it_is_killed(house: Components) -> None:
    job, _ = house.run()
    states = []
    house.launcher.at_kill = lambda: states.append(house.state(job))
    for _ in range(17):
        house.step(1)
    assert states == ["queued"]


def test_a_worker_that_was_given_up_is_reaped(house: Components) -> None:
    """Else its zombie stays until the server ends, and its slot is free while it still runs."""
    job, _ = house.run()
    handle = house.launcher.handles[job, 1]
    for _ in range(18):
        house.step(1)
    assert house.launcher.reaped == [handle]
    assert (job, 2) in house.launcher.started


def test_a_worker_that_was_given_up_holds_its_slot_until_it_is_gone(
    database: Database, artifacts: Artifacts, clock: Clock
) -> None:
    house = Components(database, artifacts, clock, capacity=1)
    job, _ = house.run()
    house.launcher.kill = lambda handle: None  # type: ignore[method-assign]
    for _ in range(18):
        house.step(1)
    assert house.launcher.started == [(job, 1)]
    house.launcher.end(job, 1, -9)
    house.step(1)
    house.step(1)
    assert house.launcher.started == [(job, 1), (job, 2)]


def test_a_worker_that_beats_is_never_given_up(house: Components) -> None:
    job, attempt = house.run()
    for beat in range(4):
        attempt.heartbeat((0, beat))
        for _ in range(15):
            house.step(1)
    assert house.state(job) == "running"
    assert house.jobs.get(job).lost_workers == 0


def test_sweeps_are_counted_not_seconds(house: Components) -> None:
    job, _ = house.run()
    house.step(1)
    house.step(3600)  # the machine slept
    for _ in range(200):
        house.step(0.01)  # woken again and again
    assert house.state(job) == "running"


def test_a_worker_that_never_gave_a_first_beat_is_given_up(house: Components) -> None:
    """Its dispatcher died between the claim and the start."""
    job = submit(house.jobs)
    claim(house.database, job)
    for _ in range(17):
        house.step(1)
    assert house.launcher.started == [(job, 2)]
    assert house.launcher.log == [], "there is nobody to kill"


def test_a_worker_frozen_in_a_transaction_is_killed_and_its_job_goes_on(house: Components) -> None:
    job, _ = house.run()
    handle = house.launcher.handles[job, 1]
    looks = iter([[], [handle]])
    house.dispatcher._frozen.look = lambda: next(looks)  # type: ignore[method-assign]
    house.step(0.1)
    assert house.launcher.log == [], "looks are some time apart"
    house.step(0.4)
    house.launcher.words = "last line"
    house.step(0.4)
    assert house.launcher.log == ["kill"]
    assert house.launcher.started == [(job, 1), (job, 2)]
    _, events = house.jobs.events(job)
    assert [event.data["reason"] for event in events if event.data.get("reason")] == [
        {
            "code": "worker_lost",
            "message": "the worker froze inside a transaction and was killed; "
            "its last log lines:\nlast line",
        }
    ]


def test_a_worker_killed_for_lack_of_memory_is_lost_for_that_reason(house: Components) -> None:
    job, _ = house.run()
    house.launcher.exits[house.launcher.handles[job, 1]] = Exit(-9, oom_killed=True)
    house.step()
    _, events = house.jobs.events(job)
    reason = next(event.data["reason"] for event in events if event.data.get("reason"))
    assert reason["code"] == "out_of_memory"
    assert house.jobs.get(job).lost_workers == 1


# --- Workers that do not leave ---


@pytest.mark.parametrize(("action", "to"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_worker_that_does_not_leave_is_killed_after_5_seconds(
    house: Components, action: str, to: str
) -> None:
    job, _ = house.run()
    house.jobs.act(action, job)
    house.step()
    house.step(4.9)
    assert house.launcher.log == []
    states = []
    house.launcher.at_kill = lambda: states.append(house.state(job))
    house.step(0.2)
    assert house.launcher.log == ["kill"]
    assert states == [to], "fenced before it is killed"
    house.step()
    assert house.jobs.get(job).lost_workers == 0
    assert house.reason(job) == ("user", f"a client asked to {action}")


def test_a_worker_that_never_began_is_not_waited_for(house: Components) -> None:
    job = submit(house.jobs)
    claim(house.database, job)
    house.jobs.act("cancel", job)
    house.step()
    house.step(5.1)
    assert house.state(job) == "cancelled"
    assert house.launcher.log == []


def test_a_pause_that_was_taken_back_kills_nobody(house: Components) -> None:
    job, attempt = house.run()
    house.jobs.act("pause", job)
    house.step()
    house.jobs.act("resume", job)
    house.step(4)
    house.step(4)
    house.jobs.act("pause", job)
    house.step(4)
    house.step(4)
    assert house.launcher.log == [], "the 5 s begin anew"
    assert attempt.end(STOPPED, SHUTDOWN) == "paused"


def test_a_process_that_outlives_its_job_is_killed(house: Components) -> None:
    job, attempt = house.run()
    attempt.end(SUCCEEDED, DONE)
    house.step()
    house.step(4.9)
    assert house.launcher.log == []
    house.step(0.2)
    assert house.launcher.log == ["kill"]
    assert house.state(job) == "succeeded"


# --- Adoption ---


def test_a_new_dispatcher_adopts_the_workers_of_the_old(house: Components) -> None:
    jobs = [submit(house.jobs) for _ in range(3)]
    house.step()
    for job in jobs[:2]:
        house.attempt(job)
    heir = house.heir()
    heir.step()
    assert len(house.launcher.started) == 2, "adopted workers hold their slots"
    house.launcher.end(jobs[0], 1, None)
    heir.step()
    assert heir.jobs.get(jobs[0]).lost_workers == 1
    assert (jobs[0], 2) in house.launcher.started


def test_an_adopted_worker_that_had_finished_is_forgotten(house: Components) -> None:
    job, attempt = house.run()
    heir = house.heir()
    heir.step()
    attempt.end(SUCCEEDED, DONE)
    house.launcher.end(job, 1, None)
    heir.step()
    assert (heir.state(job), heir.dispatcher._tracked) == ("succeeded", {})


def test_a_handle_may_come_with_a_later_beat(house: Components) -> None:
    job = submit(house.jobs)
    house.step()
    heir = house.heir()
    heir.step()
    house.attempt(job)
    heir.step()
    house.launcher.end(job, 1, None)
    heir.step()
    assert heir.jobs.get(job).lost_workers == 1


@pytest.fixture
def elsewhere(house: Components) -> tuple[str, Attempt]:
    """A job whose worker runs on another machine."""
    job = submit(house.jobs)
    attempt = claim(house.database, job)
    attempt.begin(ProcessHandle("another boot", "pid:[1]", 1, 1).stored(), ENVIRONMENT)
    return job, attempt


def test_workers_elsewhere_hold_no_slot_here(
    house: Components, elsewhere: tuple[str, Attempt]
) -> None:
    jobs = [submit(house.jobs) for _ in range(3)]
    house.step()
    assert [job for job, _ in house.launcher.started] == jobs[:2]


def test_only_its_beats_tell_of_a_worker_elsewhere(
    house: Components, elsewhere: tuple[str, Attempt]
) -> None:
    job, attempt = elsewhere
    for beat in range(20):
        attempt.heartbeat((0, beat))
        house.step(1)
    assert house.state(job) == "running"
    for _ in range(16):
        house.step(1)
    assert house.launcher.started == [(job, 2)]


def test_a_worker_elsewhere_that_has_finished_is_forgotten(
    house: Components, elsewhere: tuple[str, Attempt]
) -> None:
    house.step()
    elsewhere[1].end(SUCCEEDED, DONE)
    house.step()
    assert house.dispatcher._tracked == {}


def test_a_worker_elsewhere_that_does_not_leave_is_fenced(
    house: Components, elsewhere: tuple[str, Attempt]
) -> None:
    house.jobs.act("cancel", elsewhere[0])
    house.step()
    house.step(5.1)
    house.step()
    assert house.state(elsewhere[0]) == "cancelled"
    assert house.dispatcher._tracked == {}


# --- The thread, and its end ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


def drained(house: Components) -> threading.Event:
    """Start the thread, wait until it has begun, and stop it."""
    died, begun = threading.Event(), threading.Event()
    step = house.dispatcher.step
    house.dispatcher.step = lambda: (step(), begun.set())  # type: ignore[method-assign,task]
    house.dispatcher.start(died.set)
    assert house.dispatcher.is_alive()
    assert begun.wait(10)
    house.dispatcher.stop()
    house.dispatcher.join()
    assert not house.dispatcher.is_alive()
    return died


def test_at_the_end_workers_are_asked_to_leave(house: Components, quick: None) -> None:
    submit(house.jobs), submit(house.jobs)
    assert not drained(house).is_set()
    assert house.launcher.log == ["terminate", "terminate"]
    assert house.jobs.counts()["queued"] == 2
    assert {job.lost_workers for job in house.jobs.page(9).jobs} == {0}


def test_a_worker_that_does_not_leave_at_the_end_is_killed(house: Components, quick: None) -> None:
    job = submit(house.jobs)
    house.launcher.obedient = False
    states = []
    house.launcher.at_kill = lambda: states.append(house.state(job))
    began = house.clock.now
    drained(house)
    assert house.launcher.log == ["terminate", "kill"]
    assert house.clock.now - began == pytest.approx(6, abs=0.1)
    assert states == ["queued"], "fenced before it is killed"
    assert house.reason(job) == ("shutdown", "the service was shut down")
    assert house.jobs.get(job).lost_workers == 0


def test_the_end_leaves_workers_elsewhere_alone(
    house: Components, elsewhere: tuple[str, Attempt], quick: None
) -> None:
    drained(house)
    assert house.launcher.log == []
    assert house.state(elsewhere[0]) == "running"


class Flaky(Queue):
    """A queue whose database fails for a while."""

    failures = 0
    error: Exception = StoreBroken("the disk is full")
    what = "active"

    def _maybe(self, what: str) -> None:
        if self.failures and what == self.what:
            self.failures -= 1
            raise self.error

    def active(self):  # type: ignore[no-untyped-def]
        self._maybe("active")
        return super().active()

    def lose(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self._maybe("lose")
        return super().lose(*args, **kwargs)


@pytest.fixture
def flaky(database: Database, artifacts: Artifacts, clock: Clock) -> Components:
    house = Components(database, artifacts, clock)
    house.queue = Flaky(database)
    house.dispatcher = Dispatcher(house.queue, house.launcher, artifacts, clock)
    return house


def test_a_broken_store_does_not_end_the_loop(flaky: Components, quick: None) -> None:
    flaky.queue.failures = 3  # type: ignore[attr-defined]
    job = submit(flaky.jobs)
    died = threading.Event()
    flaky.dispatcher.start(died.set)
    eventually(lambda: flaky.launcher.started == [(job, 1)], "the store to be well again")
    flaky.dispatcher.stop()
    flaky.dispatcher.join()
    assert not died.is_set()


def test_a_worker_that_could_not_reach_the_store_is_no_loss(house: Components) -> None:
    job, _ = house.run()
    house.launcher.end(job, 1, STORE_EXIT)
    house.step()
    left = house.jobs.get(job)
    assert (left.state, left.lost_workers) == ("queued", 0)
    assert left.reason is not None
    assert left.reason.code == "store_unavailable"
    house.step(module.STORE_BACK_OFF_SECONDS - 0.1)
    assert house.launcher.started == [(job, 1)]
    house.step(0.2)
    assert house.launcher.started == [(job, 1), (job, 2)]


def test_a_start_that_finds_no_space_is_no_loss(house: Components) -> None:
    house.launcher.refuses = StoreFull("can't write worker.log")  # type: ignore[task]
    job = submit(house.jobs)
    longest = module.MACHINE_BACK_OFF_SECONDS[-1]
    for _ in range(7):
        house.step(longest)
    house.launcher.refuses = None
    house.step(longest)
    assert (house.jobs.get(job).state, house.jobs.get(job).lost_workers) == ("running", 0)


def test_silence_is_not_held_against_workers_while_the_store_fails(
    flaky: Components, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = flaky.run()
    [watch] = flaky.dispatcher._tracked.values()
    watch.still = module.LOST_AFTER_SWEEPS - 1
    flaky.queue.failures = 1  # type: ignore[attr-defined]
    drained(flaky)
    assert flaky.jobs.get(job).lost_workers == 0
    assert watch.still < module.LOST_AFTER_SWEEPS - 1


def test_any_other_error_ends_the_loop_and_is_told(flaky: Components, quick: None) -> None:
    flaky.queue.failures, flaky.queue.error = 1, RuntimeError("a bug")  # type: ignore[attr-defined]
    died = threading.Event()
    flaky.dispatcher.start(died.set)
    assert died.wait(10)
    flaky.dispatcher.join()
    assert not flaky.dispatcher.is_alive()


def test_a_job_that_could_be_neither_started_nor_put_back_waits_without_a_loss(
    flaky: Components,
) -> None:
    job = submit(flaky.jobs)
    flaky.launcher.refuses = OSError("no more processes")
    flaky.queue.failures, flaky.queue.what = 1, "lose"  # type: ignore[attr-defined]
    with pytest.raises(StoreBroken):
        flaky.step()
    flaky.launcher.refuses = None
    flaky.step(1)
    assert flaky.launcher.started == [(job, 2)]
    assert flaky.jobs.get(job).lost_workers == 0


def test_an_end_that_could_not_be_recorded_is_not_forgotten(flaky: Components) -> None:
    job, _ = flaky.run()
    flaky.queue.failures, flaky.queue.what = 1, "lose"  # type: ignore[attr-defined]
    flaky.launcher.end(job, 1, 1)
    with pytest.raises(StoreBroken):
        flaky.step()
    flaky.step()
    assert flaky.jobs.get(job).lost_workers == 1


def test_the_end_kills_all_workers_though_the_store_is_broken(
    flaky: Components, quick: None
) -> None:
    submit(flaky.jobs), submit(flaky.jobs)
    flaky.launcher.obedient = False
    flaky.queue.failures, flaky.queue.what = 1, "lose"  # type: ignore[attr-defined]
    died = drained(flaky)
    assert flaky.launcher.log == ["terminate", "terminate", "kill", "kill"]
    assert not died.is_set()
    assert flaky.jobs.counts() == {**flaky.jobs.counts(), "running": 1, "queued": 1}


def test_a_wake_starts_a_job_at_once(house: Components, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60)
    idle = threading.Event()
    active = house.queue.active
    house.queue.active = lambda: (idle.set(), active())[1]  # type: ignore[method-assign]
    house.dispatcher.start(lambda: None)
    assert idle.wait(10)
    job = submit(house.jobs)
    house.dispatcher.wake()
    eventually(lambda: house.launcher.started == [(job, 1)], "the job to be started", 10)
    house.dispatcher.stop()
    house.dispatcher.join()


def test_a_dispatcher_that_never_started_is_not_alive(house: Components) -> None:
    assert not house.dispatcher.is_alive()
    house.dispatcher.join()


# --- Garbage ---


def put(house: Components, attempt: Attempt, *batches: int) -> list[str]:
    keys = [saved(attempt, 0, batch).key for batch in batches]
    for key in keys:
        house.artifacts.put(key, b"x")
    return keys


def left(house: Components, job: str) -> set[str]:
    return set(house.artifacts.keys(job))


def reap(house: Components, job: str, code: int = 0) -> None:
    """Let the process of the job's worker end, and be seen to have ended."""
    house.launcher.end(job, house.jobs.get(job).attempt, code)
    house.step()


def test_files_of_a_running_attempt_are_left_alone(house: Components, quick: None) -> None:
    job, attempt = house.run()
    keys = put(house, attempt, 1, 2)
    attempt.commit(saved(attempt, 0, 1), [])
    drained(house.heir())
    assert left(house, job) == set(keys), "the second might have been committed yet"


def test_files_of_an_earlier_attempt_go_unless_a_row_names_them(house: Components) -> None:
    job, first = house.run()
    keys = put(house, first, 1, 2, 3)
    first.commit(saved(first, 0, 2), [])
    house.artifacts.put(f"{job}/1/.0-4.safetensors.77.tmp", b"half")
    reap(house, job, 1)
    house.step()
    reap(house, job, 1)
    assert left(house, job) == {keys[1]}


@pytest.mark.parametrize(("end", "kept"), [(FAILED, 2), (SUCCEEDED, 1)])
def test_files_of_a_job_that_is_over_go_unless_a_row_names_them(
    house: Components, end: dict[object, object], kept: int
) -> None:
    job, attempt = house.run()
    keys = put(house, attempt, 1, 2, 3)
    attempt.commit(saved(attempt, 0, 2), [])
    attempt.commit(saved(attempt, 0, 3), [])
    attempt.end(end, BAD)  # type: ignore[arg-type]
    reap(house, job)
    assert left(house, job) == set(keys[-kept:])


def test_files_of_a_job_that_waits_are_left_alone(house: Components) -> None:
    job, attempt = house.run()
    keys = put(house, attempt, 1)
    attempt.commit(saved(attempt, 0, 1), [])
    house.jobs.act("pause", job)
    attempt.end(STOPPED, SHUTDOWN)
    reap(house, job)
    assert left(house, job) == set(keys)


def test_the_folder_of_a_job_deleted_meanwhile_goes(house: Components) -> None:
    job, attempt = house.run()
    put(house, attempt, 1)
    attempt.end(FAILED, BAD)
    house.jobs.delete(job)
    house.launcher.end(job, 1)
    house.step()
    assert house.artifacts.folders() == []


def test_a_new_dispatcher_sweeps_what_the_old_one_left(house: Components, quick: None) -> None:
    over, attempt = house.run()
    put(house, attempt, 1)
    attempt.end(FAILED, BAD)
    drained(house.heir())
    assert left(house, over) == set()


def test_a_new_dispatcher_leaves_folders_alone_that_its_database_does_not_know(
    house: Components, quick: None
) -> None:
    house.artifacts.put("job_of_another_database/1/0-1.safetensors", b"x")
    drained(house.heir())
    assert list(house.artifacts.keys("job_of_another_database"))


def test_the_log_of_a_job_stays_with_it(house: Components, tmp_path: Path) -> None:
    job, attempt = house.run()
    put(house, attempt, 1)
    (tmp_path / "jobs" / job / "worker.log").write_text("words")
    attempt.end(FAILED, BAD)
    reap(house, job)
    assert left(house, job) == set()
    assert (tmp_path / "jobs" / job / "worker.log").exists()


def test_what_no_job_made_is_left_alone(house: Components, tmp_path: Path, quick: None) -> None:
    job, attempt = house.run()
    strange = tmp_path / "jobs" / job / "notes" / "by-hand.txt"
    for path in (strange, tmp_path / "jobs" / "lost+found" / "1" / "x"):
        path.parent.mkdir(parents=True)
        path.touch()
    attempt.end(FAILED, BAD)
    drained(house.heir())
    assert strange.exists()
    assert (tmp_path / "jobs" / "lost+found" / "1" / "x").exists()


def test_garbage_that_cannot_be_deleted_does_not_end_the_loop(
    house: Components, tmp_path: Path, quick: None
) -> None:
    job, attempt = house.run()
    attempt.end(FAILED, BAD)
    (tmp_path / "jobs" / job / "1" / "a-folder").mkdir(parents=True)
    assert not drained(house.heir()).is_set(), "at the start"
    house.launcher.end(job, 1)
    with pytest.raises(StoreBroken):  # which ends no loop: see above
        house.step()
    house.step()


# --- Real processes ---


def test_a_real_worker_that_hangs_is_fenced_killed_and_reaped(
    database: Database,
    artifacts: Artifacts,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = tmp_path / "python"
    keeper.write_text("#!/bin/sh\nexec sleep 600\n")
    keeper.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(keeper))
    house = Components(database, artifacts, clock)
    launcher = LocalLauncher(tmp_path / "jobs", {}, 1)
    house.dispatcher = Dispatcher(house.queue, launcher, artifacts, clock)
    job = submit(house.jobs)
    house.step()
    [handle] = launcher._children
    for _ in range(16):
        house.step(1)
    house.jobs.act("cancel", job)
    gone = Path(f"/proc/{handle.pid}")
    eventually(lambda: (house.step(), not gone.exists())[1], "the worker to be reaped", 10)
    assert launcher._children == {}
    assert house.jobs.get(job).lost_workers == 1


def job_of(house: Components) -> Job:
    return house.jobs.page(1).jobs[0]


def test_nothing_that_a_new_dispatcher_needs_is_kept_in_memory(house: Components) -> None:
    """Each step is done by another dispatcher, and the job comes through all the same."""
    submit(house.jobs)
    house.step()
    for attempt in (1, 2, 3):
        heir = house.heir()
        heir.step()
        house.attempt(job_of(house).id)
        heir.step()
        house.launcher.end(job_of(house).id, attempt, 1)
        heir.step()
        for _ in range(5):
            heir.step(1)
    assert job_of(house).attempt == 4
    assert job_of(house).lost_workers == 3
    assert query(house.database, "SELECT count(*) FROM jobs") == [(1,)]


# --- Retention ---


def test_old_finished_jobs_go_with_their_files_once_there_are_more_than_are_kept(
    house: Components,
) -> None:
    idle = FakeLauncher(capacity=0)
    house.dispatcher = Dispatcher(house.queue, idle, house.artifacts, house.clock, keep_jobs=2)
    ids = [submit(house.jobs) for _ in range(4)]
    for job in ids:
        house.artifacts.put(f"{job}/1/0-0.safetensors", b"arrays")
    for job in ids[:3]:
        house.jobs.act("cancel", job)
    house.step()
    assert house.artifacts.folders() == ids[1:]
    house.jobs.act("cancel", ids[3])
    house.step()
    assert house.artifacts.folders() == ids[1:], "it looks with each sweep, not with each step"
    house.step(module.SWEEP_SECONDS)
    assert house.artifacts.folders() == ids[2:]
    assert [job.id for job in house.jobs.page(9).jobs] == [ids[3], ids[2]]


def test_all_finished_jobs_are_kept_unless_a_number_is_given(house: Components) -> None:
    ids = [submit(house.jobs) for _ in range(3)]
    for job in ids:
        house.jobs.act("cancel", job)
    house.step(module.SWEEP_SECONDS)
    assert len(house.jobs.page(9).jobs) == 3
