"""Whether a bucket works is asked seldom, by one thread at a time, and waited for briefly."""

import threading
import time

import pytest

from service.server import bounded_check
from service.server.bounded_check import FRESH_SECONDS, KEPT_SECONDS, BoundedCheck
from tests.support.server_process import eventually


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Bucket:
    """Something that works or not, at once or late."""

    def __init__(self) -> None:
        self.works, self.asked = True, 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> bool:
        self.asked += 1
        self.open.wait(10)
        return self.works


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_check, "PATIENCE_SECONDS", 0.05)


def test_an_answer_counts_for_some_seconds() -> None:
    bucket, clock = Bucket(), Clock()
    check = BoundedCheck(bucket, clock)
    assert [check() for _ in range(50)] == [True] * 50
    assert bucket.asked == 1, "probes do not flood it"
    bucket.works = False
    clock.now += FRESH_SECONDS
    assert not check()
    assert bucket.asked == 2
    bucket.works = True
    assert not check()
    clock.now += FRESH_SECONDS
    assert check()


def test_what_does_not_answer_is_waited_for_briefly_and_asked_once() -> None:
    bucket, clock = Bucket(), Clock()
    check = BoundedCheck(bucket, clock)
    bucket.open.clear()
    began = time.monotonic()
    assert [check() for _ in range(5)] == [False] * 5
    assert time.monotonic() - began < 2
    assert bucket.asked == 1
    bucket.open.set()
    eventually(check, "the answer to arrive")
    assert bucket.asked == 1


def test_a_late_answer_does_not_make_a_server_unready_at_once() -> None:
    bucket, clock = Bucket(), Clock()
    check = BoundedCheck(bucket, clock)
    assert check()
    bucket.open.clear()
    clock.now += FRESH_SECONDS
    assert check(), "the last answer counts meanwhile"
    clock.now += KEPT_SECONDS - FRESH_SECONDS
    assert not check(), "but not for ever"
    bucket.open.set()


def test_a_mistake_in_asking_is_a_failure_that_may_end() -> None:
    clock, wrong = Clock(), [True]

    def ask() -> bool:
        if wrong[0]:
            threading.excepthook = lambda _: None  # pytest would report it
            raise RuntimeError("no such bucket")
        return True

    before = threading.excepthook
    check = BoundedCheck(ask, clock)
    try:
        assert not check()
    finally:
        threading.excepthook = before
    wrong[0] = False
    clock.now += FRESH_SECONDS
    assert check()
