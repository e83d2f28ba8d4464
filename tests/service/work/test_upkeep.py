"""What a host does for itself from time to time."""

import threading

from service.domain.errors import StoreBroken
from service.work.schema_watch import SchemaWatch
from service.work.upkeep import Upkeep
from tests.support.server_process import eventually


def test_each_task_is_called_at_once_and_again_after_its_time_even_if_one_fails() -> None:
    calls: list[str] = []

    def often() -> None:
        calls.append("often")
        raise StoreBroken("the database is away")

    upkeep = Upkeep({often: 0.01, lambda: calls.append("rarely"): 3600.0})
    upkeep.start()
    eventually(lambda: calls.count("often") > 3, "several calls")
    upkeep.stop()
    upkeep.join()
    assert calls.count("rarely") == 1


def test_a_long_wait_ends_with_the_process() -> None:
    called = threading.Event()
    upkeep = Upkeep({called.set: 3600.0})
    upkeep.start()
    assert called.wait(10)
    upkeep.stop()
    upkeep.join()


def test_a_newer_schema_is_told_once() -> None:
    schemas, told = ["0016", None, "0017", "0017"], list[str]()
    watch = SchemaWatch(lambda: schemas.pop(0), "0016", lambda: told.append("newer"))
    for expected in ([], [], ["newer"], ["newer"]):
        watch.look()
        assert told == expected
