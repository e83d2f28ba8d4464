"""The stream of all jobs: complete, in order, resumable, and for each key its own jobs."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api import stream
from service.server import event_tail
from service.store.event_log import EventLog
from service.store.snapshots import NewSnapshot
from service.store.transitions import record_change
from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.support.job_records import in_state, saved
from tests.support.live_service import Live, claimed, epoch, fail, record, succeed
from tests.support.server_process import eventually
from tests.support.stream_listener import StreamListener


def events_of_all(live: Live) -> int:
    return EventLog(live.database).newest()


# --- What is sent ---


def test_a_stream_begins_with_the_state_of_the_server_and_nothing_of_the_past(live: Live) -> None:
    submit(live.jobs)
    heard = StreamListener(live.http)
    system = live.http.get("/v1/system").json()
    hello = heard.hello()
    system.pop("hosts", None)  # which only several machines have
    assert hello.pop("system") == system
    assert hello == {
        "instance": system["instance"], "web": system["web"], "cursor": 1, "reset": True
    }  # fmt: skip
    assert heard.messages[0].id == "1"
    time.sleep(3 * event_tail.POLL_SECONDS)
    assert len(heard.messages) == 1
    live.stop()
    heard.end()


def test_a_browser_waits_a_second_before_it_reconnects(live: Live) -> None:
    with live.http.stream("GET", "/v1/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        lines = answer.iter_lines()
        first = [next(lines) for _ in range(5)]
        assert (first[0], first[3:]) == ("event: hello", ["retry: 1000", ""])


def without_names(job: dict[str, Any]) -> dict[str, Any]:
    """Return a job as the stream sends it, which leaves out the names of its classes."""
    return job | {"data": job["data"] | {"classes": None}}


def test_a_job_is_followed_from_its_submission_to_its_deletion(
    live: Live, listener: StreamListener
) -> None:
    made = live.http.post("/v1/jobs", json={"preset": "linear"}).json()
    job = made["id"]
    assert listener.wait_for("job", id=job, state="queued") == without_names(made)
    assert listener.wait_for("system")["jobs"]["queued"] == 1
    attempt = claimed(live.database)
    running = listener.wait_for("job", id=job, state="running")
    assert running == without_names(live.http.get(f"/v1/jobs/{job}").json())
    record(attempt, 1)
    [epoch] = live.http.get(f"/v1/jobs/{job}/epochs").json()["data"]
    sent = listener.wait_for("epoch", job=job)
    assert {name: sent[name] for name in epoch} == epoch
    attempt.warn("begun_again", "The checkpoint can't be read.")
    assert listener.wait_for("warning", job=job)["code"] == "begun_again"
    succeed(attempt)
    listener.wait_for("job", id=job, state="succeeded")
    assert live.http.delete(f"/v1/jobs/{job}").status_code == 204
    listener.wait_for("job", id=job, deleted=True)
    assert listener.ids() == list(range(1, 7))


def test_a_queued_job_knows_its_place(live: Live, listener: StreamListener) -> None:
    jobs = [submit(live.jobs) for _ in range(3)]
    places = [listener.wait_for("job", id=job)["queue_position"] for job in jobs]
    assert places == [1, 2, 3]


def test_progress_of_all_running_jobs_comes_in_one_event_and_only_when_it_changes(
    live: Live, listener: StreamListener
) -> None:
    for _ in range(2):
        submit(live.jobs, epochs=50)
    attempts = [claimed(live.database) for _ in range(2)]
    attempts[0].heartbeat((0, 469))
    both = {attempt.job for attempt in attempts}

    def halfway() -> dict[str, Any] | None:
        found = [it for it in listener.of("progress") if set(it) == both]
        return next((it for it in found if it[attempts[0].job]["batches_done"] == 469), None)

    progress = eventually(halfway, "the progress", 10) or {}
    assert progress[attempts[0].job]["fraction"] == pytest.approx(469 / 938 / 50)
    count = len(listener.of("progress"))
    time.sleep(4 * event_tail.POLL_SECONDS)
    assert len(listener.of("progress")) == count
    assert all(it.id is None for it in listener.messages if it.event == "progress")


def test_new_weights_are_announced_also_the_last_ones(live: Live, listener: StreamListener) -> None:
    job = submit(live.jobs, epochs=50)
    attempt = claimed(live.database)
    attempt.commit(saved(attempt, 0, 7), [])
    expected = {"job": job, "epochs_done": 0, "batches_done": 7, "sha256": "0" * 64, "kept": False}
    assert listener.wait_for("checkpoint") == expected
    time.sleep(2 * event_tail.POLL_SECONDS)
    attempt.end({"running": "succeeded"}, ("epochs_done", "…"), saved(attempt, 50))  # type: ignore[dict-item]  # as text
    assert listener.wait_for("checkpoint", epochs_done=50) == expected | {
        "epochs_done": 50, "batches_done": 0
    }  # fmt: skip
    assert len(listener.of("checkpoint")) == 2


def test_a_checkpoint_says_whether_the_network_of_an_epoch_was_kept(
    live: Live, listener: StreamListener
) -> None:
    submit(live.jobs, epochs=50)
    attempt = claimed(live.database)
    attempt.commit(saved(attempt, 0, 7), [])
    assert listener.wait_for("checkpoint", batches_done=7)["kept"] is False
    kept = NewSnapshot(epoch(1), planned=True, file=saved(attempt, 1))
    attempt.commit(saved(attempt, 1, 8), [epoch(1)], [kept])
    assert listener.wait_for("checkpoint", batches_done=8)["kept"] is True
    attempt.commit(saved(attempt, 1, 9), [])
    assert listener.wait_for("checkpoint", batches_done=9)["kept"] is False


def test_who_comes_while_a_job_trains_learns_how_far_it_is(live: Live) -> None:
    job = submit(live.jobs, epochs=50)
    attempt = claimed(live.database)
    attempt.commit(saved(attempt, 3, 7), [])
    heard = StreamListener(live.http)
    assert heard.wait_for("progress")[job]["epochs_done"] == 3
    assert heard.wait_for("checkpoint")["job"] == job
    live.stop()
    heard.end()


def test_a_change_of_another_kind_is_a_job_event(live: Live, listener: StreamListener) -> None:
    id_ = in_state(live.database, "succeeded")
    listener.wait_for("job", id=id_, state="succeeded")
    before = len(listener.of("job"))
    with live.database.write() as transaction:
        record_change(transaction, live.jobs.get(id_).number)
    eventually(lambda: len(listener.of("job")) > before, "the change", 10)
    assert listener.of("job")[-1] == without_names(live.http.get(f"/v1/jobs/{id_}").json())
    assert listener.of("checkpoint") == []


def test_an_idle_service_sends_nothing_but_pings_that_move_the_cursor(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "PING_SECONDS", 0.6)
    in_state(live.database, "succeeded")
    heard = StreamListener(live.http)
    eventually(lambda: len(heard.of("ping")) > 2, "three pings", 10)
    assert {it.event for it in heard.messages} == {"hello", "ping"}
    newest = str(events_of_all(live))
    assert {it.id for it in heard.messages} == {newest}
    live.stop()
    heard.end()


def test_the_state_of_the_server_is_sent_when_a_check_fails(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "PING_SECONDS", 0.3)
    heard = StreamListener(live.http)
    heard.hello()
    live.app.state.components.services.checks["data_dir"] = lambda: False
    assert heard.wait_for("system")["ready"] is False
    live.stop()
    heard.end()


# --- The cursor ---


def finished_jobs(live: Live) -> None:
    """Two jobs, whose eight events alternate."""
    for _ in range(2):
        submit(live.jobs, epochs=50)
    attempts = [claimed(live.database) for _ in range(2)]
    for attempt in attempts:
        record(attempt, 1)
    succeed(attempts[0])
    fail(attempts[1])


def heard_after(live: Live, query: str = "", header: str | None = None) -> list[int]:
    heard = StreamListener(live.http, query, {"Last-Event-ID": header} if header else {})
    last = submit(live.jobs)
    heard.wait_for("job", id=last)
    live.jobs.delete(last)
    heard.wait_for("job", id=last, deleted=True)
    assert heard.of("hello")[0]["reset"] is False
    return heard.ids()


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("?after=0", None, 1),
        ("?after=5", None, 6),
        ("?after=8", None, 9),
        ("?after=2", "6", 7),
        ("?after=6", "0", 1),
        ("", "7", 8),
        ("?lastEventId=7", None, 8),
        ("?after=2&lastEventId=7", None, 8),
        ("?after=2&lastEventId=7&_=3", "4", 5),
    ],
)
def test_a_stream_continues_after_the_event_that_the_client_has(
    live: Live, query: str, header: str | None, first: int
) -> None:
    finished_jobs(live)
    numbers = heard_after(live, query, header)
    assert numbers[:-2] == list(range(first, 9))  # the last job's row is gone, or is not yet
    live.stop()


def test_a_long_history_comes_in_pages(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PAGE_EVENTS", 3)
    monkeypatch.setattr(event_tail, "MAX_EVENTS", 3)
    finished_jobs(live)
    heard = StreamListener(live.http, "?after=0")
    eventually(lambda: len(heard.ids()) == 8, "the history", 10)
    finished_jobs(live)
    eventually(lambda: len(heard.ids()) == 16, "the news", 10)
    assert heard.ids() == list(range(1, 17))
    live.stop()
    heard.end()


@pytest.mark.parametrize(
    ("after", "kept", "reset"),
    [(8, 3, False), (5, 3, False), (4, 3, True), (9, 3, True), (0, 8, False), (2**53 - 1, 9, True)],
)
def test_a_cursor_that_is_too_old_or_of_another_directory_is_reset(
    live: Live, monkeypatch: pytest.MonkeyPatch, after: int, kept: int, reset: bool
) -> None:
    monkeypatch.setattr(stream, "KEPT_EVENTS", kept)
    finished_jobs(live)
    heard = StreamListener(live.http, f"?after={after}")
    hello = heard.hello()
    assert (hello["reset"], hello["cursor"]) == (reset, 8 if reset else after)
    submit(live.jobs)
    eventually(lambda: 9 in heard.ids(), "the next event", 10)
    assert heard.ids() == list(range(9 if reset else after + 1, 10))
    live.stop()
    heard.end()


def test_reconnecting_at_any_moment_shows_every_event_once(live: Live) -> None:
    submit(live.jobs, epochs=100)
    attempt = claimed(live.database)
    seen: list[int] = []
    for number in range(1, 31, 2):
        heard = StreamListener(live.http, f"?after={seen[-1] if seen else 0}")
        record(attempt, number, number + 1)
        eventually(heard.ids, "an event", 10)
        seen += heard.ids()
    last = StreamListener(live.http, f"?after={seen[-1]}")
    succeed(attempt)
    last.wait_for("job", state="succeeded")
    assert seen + last.ids() == list(range(1, 34))
    live.stop()


JUNK = ["x", "-1", "1.5", "9" * 30, "%00", "1e0", str(2**53)]


def test_a_cursor_that_is_not_a_number_is_refused_before_the_stream(live: Live) -> None:
    for name in ("after", "lastEventId"):
        for junk in JUNK:
            answer = live.http.get(f"/v1/events?{name}={junk}")
            check_problem(answer, 422)
            assert answer.json()["errors"][0]["pointer"] == f"?{name}"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    query=st.dictionaries(
        st.sampled_from(["after", "lastEventId", "state", "_", ""]),
        st.one_of(st.integers(-3, 2**54).map(str), st.text(max_size=5)),
        max_size=3,
    ),
    header=st.one_of(st.none(), st.integers(-3, 2**54).map(str), st.sampled_from(["", "x", "1 2"])),
)
def test_every_request_is_streamed_or_refused_with_the_reason(
    live: Live, query: dict[str, str], header: str | None
) -> None:
    headers = {} if header is None else {"Last-Event-ID": header}
    answer = live.http.head("/v1/events", params=query, headers=headers)
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        check_problem(live.http.get("/v1/events", params=query, headers=headers), 422)
    else:
        assert set(query) <= {"after", "lastEventId", "_"}
