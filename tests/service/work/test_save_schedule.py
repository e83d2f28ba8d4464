"""When heartbeats and saves are due; the expected times are worked out by hand."""

from service.work.save_schedule import DEFAULT_INTERVALS, SaveSchedule


def schedule_from_0() -> SaveSchedule:
    return SaveSchedule(DEFAULT_INTERVALS, now=0)


def test_the_first_save_and_the_first_heartbeat_are_due_after_half_a_second() -> None:
    schedule = schedule_from_0()
    assert not schedule.is_save_due(0.49)
    assert schedule.is_save_due(0.5)
    assert not schedule.is_heartbeat_due(0.49, has_epochs=False)
    assert schedule.is_heartbeat_due(0.5, has_epochs=False)


def test_a_heartbeat_with_epochs_to_record_comes_a_quarter_of_a_second_earlier() -> None:
    schedule = schedule_from_0()
    schedule.note_heartbeat(10)
    assert not schedule.is_heartbeat_due(10.24, has_epochs=True)
    assert schedule.is_heartbeat_due(10.25, has_epochs=True)
    assert not schedule.is_heartbeat_due(10.25, has_epochs=False)


def test_saving_takes_at_most_a_twentieth_of_the_time() -> None:
    schedule = schedule_from_0()
    schedule.note_save(started=10, now=10.01)
    assert not schedule.is_save_due(12)
    assert schedule.is_save_due(12.01), "a quick save is followed by the next after 2 s"
    schedule.note_save(started=20, now=20.5)
    assert not schedule.is_save_due(30.4)
    assert schedule.is_save_due(30.5), "20 times half a second"


def test_a_save_replaces_a_heartbeat() -> None:
    schedule = schedule_from_0()
    schedule.note_save(started=10, now=10.1)
    assert not schedule.is_heartbeat_due(10.5, has_epochs=False)
    assert schedule.is_heartbeat_due(10.6, has_epochs=False)


def test_after_a_failed_save_the_heartbeat_stays_due() -> None:
    schedule = schedule_from_0()
    schedule.note_failed_save(started=0.5, now=0.6)
    assert not schedule.is_save_due(2.5)
    assert schedule.is_save_due(2.6)
    assert schedule.is_heartbeat_due(0.6, has_epochs=False)


def test_a_store_that_does_not_answer_takes_at_most_a_quarter_of_the_time() -> None:
    schedule = schedule_from_0()
    schedule.note_failed_save(started=1, now=10)
    assert not schedule.is_save_due(36.9)
    assert schedule.is_save_due(37), "three times the nine seconds that the try took"
