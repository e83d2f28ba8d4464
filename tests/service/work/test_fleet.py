"""Hosts are started while jobs wait, as many as they need, and no cluster can do any harm by it."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from service.domain.errors import StoreBroken
from service.store.job_counts import Demand
from service.work.fleet import (
    AFTER_ERRORS,
    BUSY_SECONDS,
    IDLE_SECONDS,
    LARGE_SECONDS,
    FleetHost,
    FleetSize,
    FleetSizer,
)
from tests.support.fake_workers import Clock
from tests.support.server_process import eventually


def ended(number: int, failure: str = "") -> FleetHost:
    return FleetHost(number, False, failure)


class FakeFleet:
    """A cluster in memory; its requests can be counted and can fail."""

    def __init__(self) -> None:
        self.known: dict[str, FleetHost] = {}
        self.requests: list[str] = []
        self.error: OSError | None = None
        self.failing = ""
        """The one kind of request that fails; all do if it is empty."""

    def hosts(self) -> dict[str, FleetHost]:
        self._request("hosts")
        return dict(self.known)

    def start(self, number: int) -> None:
        self._request("start")
        self.know(FleetHost(number, True))

    def forget(self, name: str) -> None:
        self._request("forget")
        del self.known[name]

    def know(self, *hosts: FleetHost) -> None:
        for host in hosts:
            self.known[f"host-{host.number}-{len(self.requests)}"] = host

    def end(self, failure: str = "") -> None:
        """Let all hosts end."""
        for name, host in self.known.items():
            self.known[name] = ended(host.number, failure)

    def _request(self, kind: str) -> None:
        self.requests.append(kind)
        if self.error and kind.startswith(self.failing):
            raise self.error


class Stage:
    """A sizer over a fake fleet, with a queue and a clock that tests set."""

    def __init__(self, slots: int = 2, most: int = 3) -> None:
        self.fleet, self.clock = FakeFleet(), Clock()
        self.demand = Demand(0, 0)
        self.counted: list[int] = []
        self.is_leading: bool | StoreBroken = True
        self.sizer = FleetSizer(
            self.fleet, FleetSize(slots, most), self._count, self._leads, self.clock
        )

    def _count(self, most: int) -> Demand:
        self.counted.append(most)
        return self.demand

    def _leads(self) -> bool:
        if isinstance(self.is_leading, StoreBroken):
            raise self.is_leading
        return self.is_leading

    def step(self, queued: int, running: int = 0, seconds: float = 1, large: int = 0) -> float:
        self.clock.now += seconds
        self.demand = Demand(queued, running, large)
        return self.sizer.try_step()

    @property
    def live(self) -> list[int]:
        return sorted(host.number for host in self.fleet.known.values() if host.is_live)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize(
    ("queued", "running", "hosts"),
    [
        *((0, 0, 0), (0, 9, 0), (1, 0, 1), (4, 0, 1), (5, 0, 2)),
        *((1, 4, 2), (1, 7, 2), (1, 8, 3), (90, 0, 5)),
    ],
)
def test_there_are_as_many_hosts_as_all_jobs_need_and_none_is_missing_while_no_job_waits(
    queued: int, running: int, hosts: int
) -> None:
    assert FleetSize(slots=4, most=5).wanted(Demand(queued, running)) == hosts


def test_hosts_start_while_jobs_wait_but_only_those_that_are_missing(stage: Stage) -> None:
    assert stage.step(queued=3) == BUSY_SECONDS
    assert stage.live == [1, 2]
    stage.step(queued=1, running=2)
    assert stage.live == [1, 2]
    stage.step(queued=9, running=2)
    assert stage.live == [1, 2, 3]
    assert stage.step(queued=0, running=6) == IDLE_SECONDS
    assert stage.fleet.requests.count("start") == 3


def test_a_host_is_started_for_a_job_that_is_too_large_for_all_others_but_rarely(
    stage: Stage,
) -> None:
    stage.step(queued=0, large=1)
    assert stage.live == [1]
    stage.fleet.end()
    stage.step(queued=0, large=1)
    assert stage.live == [], "it had no room for the job either"
    stage.step(queued=0, large=1, seconds=LARGE_SECONDS)
    assert stage.live == [1]


def test_no_more_jobs_are_counted_than_hosts_could_take(stage: Stage) -> None:
    stage.step(queued=1)
    assert stage.counted == [2 * 3]


def test_hosts_that_have_ended_are_forgotten_and_their_numbers_used_again(stage: Stage) -> None:
    stage.fleet.know(ended(1), FleetHost(2, True), ended(3))
    stage.step(queued=0, running=1)
    assert list(stage.fleet.known.values()) == [FleetHost(2, True)]
    stage.fleet.know(ended(1))
    stage.step(queued=4, running=1)
    assert stage.live == [1, 2, 3]


def test_an_idle_fleet_asks_the_cluster_nothing(stage: Stage) -> None:
    stage.step(queued=0)
    assert stage.fleet.requests == ["hosts"], "an earlier leader may have left hosts"
    for _ in range(5):
        assert stage.step(queued=0) == IDLE_SECONDS
    assert stage.fleet.requests == ["hosts"]
    stage.step(queued=1)
    stage.fleet.end()
    stage.step(queued=0)
    assert stage.fleet.known == {}, "what the last host left is forgotten"


def test_who_does_not_lead_asks_nothing(stage: Stage) -> None:
    stage.is_leading = False
    assert stage.step(queued=5) == IDLE_SECONDS
    assert (stage.fleet.requests, stage.counted) == ([], [])
    stage.is_leading = True
    stage.step(queued=0)
    assert stage.fleet.requests == ["hosts"]


def test_hosts_of_two_that_lead_for_a_moment_all_count(stage: Stage) -> None:
    stage.fleet.know(FleetHost(1, True))
    stage.fleet.known["of another leader"] = FleetHost(1, True)
    stage.step(queued=4)
    assert stage.live == [1, 1]
    stage.step(queued=9)
    assert stage.live == [1, 1, 2]


@pytest.mark.parametrize("error", [OSError("refused"), StoreBroken("no connection")])
def test_looks_that_fail_are_repeated_ever_more_rarely_and_harm_nothing(
    stage: Stage, error: OSError | StoreBroken
) -> None:
    if isinstance(error, OSError):
        stage.fleet.error = error
    else:
        stage.is_leading = error
    waits = [stage.step(queued=1) for _ in range(len(AFTER_ERRORS) + 1)]
    assert waits == [*AFTER_ERRORS, AFTER_ERRORS[-1]]
    stage.fleet.error, stage.is_leading = None, True
    assert stage.step(queued=1) == BUSY_SECONDS
    assert stage.live == [1]
    stage.fleet.error = OSError("again")
    assert stage.step(queued=1) == AFTER_ERRORS[0]


def test_hosts_start_although_the_cluster_forgets_no_ended_one(stage: Stage) -> None:
    stage.fleet.know(ended(3))
    stage.fleet.failing = "forget"
    stage.fleet.error = OSError("it refuses")
    stage.step(queued=3)
    assert stage.live == [1, 2]
    stage.fleet.error = None
    stage.step(queued=3)
    assert [host.number for host in stage.fleet.known.values()] == [1, 2]


def test_hosts_that_fail_one_after_another_are_started_ever_more_rarely(stage: Stage) -> None:
    starts = []
    for second in range(200):
        stage.step(queued=1)
        if stage.live:
            starts.append(second)
            stage.fleet.end("command not found")
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert gaps == [1, 2, 3, 5, 9, 17, 31, 31, 31, 31, 31]


def test_a_host_that_the_cluster_tells_of_again_has_not_failed_again(stage: Stage) -> None:
    """Ray does so when the supervisor of a job ends after the job has been deleted."""
    stage.step(queued=1)
    stage.fleet.end()
    [name] = stage.fleet.known
    for _ in range(10):
        stage.step(queued=1)
        assert stage.live == [1], "no start is delayed"
        stage.fleet.end()
        stage.fleet.known[name] = ended(1, "the supervisor has ended as it should")


def test_a_host_that_fails_after_a_quiet_minute_is_replaced_at_once(stage: Stage) -> None:
    for _ in range(3):
        stage.step(queued=1)
        stage.fleet.end("its node has died")
    stage.step(queued=1, seconds=100)
    assert stage.live == [1]
    stage.fleet.end("its node has died")
    stage.step(queued=1, seconds=100)
    assert stage.live == [1]


class TestThread:
    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        stage = Stage()
        yield stage
        stage.sizer.stop()
        stage.sizer.join()

    def test_the_bell_starts_a_host_long_before_the_next_look(self, stage: Stage) -> None:
        stage.sizer.start()
        eventually(lambda: stage.counted, "the first look")
        stage.demand = Demand(1, 0)
        stage.sizer.wake()
        eventually(lambda: stage.live, "a host", IDLE_SECONDS / 2)

    def test_a_bell_that_never_stops_ringing_causes_few_looks(self, stage: Stage) -> None:
        stage.sizer.start()
        ringing = threading.Event()
        for _ in range(100):
            stage.sizer.wake()
            ringing.wait(0.01)
        assert 2 <= len(stage.counted) <= 8

    def test_the_bell_does_not_shorten_the_wait_after_an_error(self, stage: Stage) -> None:
        stage.fleet.error = OSError("refused")
        stage.sizer.start()
        eventually(lambda: stage.fleet.requests, "the first look")
        for _ in range(20):
            stage.sizer.wake()
            threading.Event().wait(0.02)
        assert len(stage.fleet.requests) == 1

    def test_a_cluster_that_never_answers_does_not_keep_the_process_from_ending(
        self, stage: Stage
    ) -> None:
        answers = threading.Event()
        stage.fleet.hosts = lambda: answers.wait(30) and {}  # type: ignore[method-assign,return-value,assignment]
        stage.sizer.start()
        eventually(lambda: stage.counted, "the first look")
        stage.sizer.stop()
        stage.sizer.join()
        answers.set()
