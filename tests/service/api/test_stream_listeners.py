"""Who hears the stream of all jobs, for how long, and what failures do to it."""

import json
import time

import pytest

from service.domain.errors import StoreBroken
from service.server import event_tail
from service.server.event_tail import EventTail
from service.store.api_keys import ApiKeyStore
from service.store.event_log import EventLog
from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.server.test_auth import bearer
from tests.support.job_records import saved
from tests.support.live_service import Live, claimed, record
from tests.support.server_process import eventually
from tests.support.stream_listener import StreamListener


def tail(live: Live) -> EventTail:
    found: EventTail = live.app.state.components.event_tail
    return found


# --- Owners and keys ---


@pytest.fixture
def keys(live: Live) -> ApiKeyStore:
    return ApiKeyStore(live.database)


def closed(live: Live, key: str) -> None:
    """Wait until the running service knows a key."""
    eventually(
        lambda: (
            live.http.get("/v1/jobs").status_code == 401
            and live.http.get("/v1/jobs", headers=bearer(key)).status_code == 200
        ),
        "the key",
        10,
    )


def test_each_key_hears_of_its_own_jobs_only(live: Live, keys: ApiKeyStore) -> None:
    of = {owner: keys.create(owner, ["read"]) for owner in ("ada", "bob")}
    of["ops"] = keys.create("ops", ["admin"])
    closed(live, of["ops"])
    heard = {owner: StreamListener(live.http, "?after=0", bearer(key)) for owner, key in of.items()}
    for listener in heard.values():
        assert listener.hello()["reset"] is False
    jobs = {}
    for owner in ("ada", "bob"):
        own = live.jobs.seen_by(owner, everything=False)
        jobs[owner] = submit(own, epochs=50)
        attempt = claimed(live.database)
        record(attempt, 1)
        attempt.commit(saved(attempt, 1, 5), [])
        own_deleted = submit(own)
        own.delete(own_deleted)
        jobs[f"{owner}, deleted"] = own_deleted
    unowned = submit(live.jobs)
    heard["ops"].wait_for("job", id=unowned)
    time.sleep(2 * event_tail.POLL_SECONDS)
    for owner, other in (("ada", "bob"), ("bob", "ada")):
        text = json.dumps([vars(message) for message in heard[owner].messages])
        assert jobs[owner] in text
        assert jobs[f"{owner}, deleted"] in text
        assert jobs[other] not in text
        assert jobs[f"{other}, deleted"] not in text
        assert unowned not in text
        assert heard[owner].of("epoch")
        assert heard[owner].of("checkpoint")
        assert set(heard[owner].of("progress")[-1]) == {jobs[owner]}
        assert heard[owner].of("system")[-1]["jobs"]["running"] == 1
        assert heard[owner].of("system")[-1]["session"]["owner"] == owner
    assert heard["ops"].of("system")[-1]["jobs"]["running"] == 2
    assert set(heard["ops"].of("progress")[-1]) == {jobs["ada"], jobs["bob"]}
    live.stop()


def test_a_stream_ends_soon_after_its_key_although_nothing_happens(
    live: Live, keys: ApiKeyStore
) -> None:
    keys.create("ops", ["admin"])
    key = keys.create("ada", ["read"])
    closed(live, key)
    heard = StreamListener(live.http, headers=bearer(key))
    heard.hello()
    keys.revoke(key.split("_")[1])
    started = time.monotonic()
    heard.end()
    assert time.monotonic() - started < 4  # within 2 s on a machine with nothing else to do
    check_problem(live.http.get("/v1/events", headers=bearer(key)), 401)


def test_the_first_key_ends_the_streams_of_strangers(
    live: Live, listener: StreamListener, keys: ApiKeyStore
) -> None:
    keys.create("ada", ["read"])
    listener.end()
    check_problem(live.http.get("/v1/events"), 401)


def test_a_key_without_the_scope_is_refused(live: Live, keys: ApiKeyStore) -> None:
    key = keys.create("ada", ["predict", "train"])
    eventually(lambda: live.http.get("/v1/events").status_code == 401, "the key", 10)
    check_problem(live.http.get("/v1/events", headers=bearer(key)), 403)


# --- When something fails ---


def test_a_store_that_can_not_be_read_is_503_before_the_stream(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: EventLog) -> int:
        raise StoreBroken("the database failed")

    monkeypatch.setattr(EventLog, "newest", broken)
    answer = live.http.get("/v1/events")
    check_problem(answer, 503)
    assert answer.headers["Retry-After"]
    monkeypatch.undo()
    heard = StreamListener(live.http)
    heard.hello()
    live.stop()
    heard.end()


def test_a_failing_look_at_the_store_does_not_end_a_stream(
    live: Live, listener: StreamListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []

    def broken(*_: object) -> None:
        failures.append(1)
        raise RuntimeError("no database")

    monkeypatch.setattr(EventLog, "news", broken)
    job = submit(live.jobs)
    eventually(lambda: len(failures) > 1, "a second try", 10)
    monkeypatch.undo()
    listener.wait_for("job", id=job)
    assert listener.ids() == [1]


def test_all_streams_end_when_the_server_stops(live: Live) -> None:
    heard = [StreamListener(live.http) for _ in range(3)]
    for listener in heard:
        listener.hello()
    live.stop()
    for listener in heard:
        listener.end()


def test_a_listener_that_leaves_is_forgotten_and_nobody_is_looked_for(live: Live) -> None:
    with live.http.stream("GET", "/v1/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        eventually(lambda: tail(live).listeners == 1, "the listener")
    eventually(lambda: not tail(live).listeners, "the listener to be forgotten", 20)
    eventually(lambda: not tail(live).is_polling, "the end of the looks", 20)
    live.http.head("/v1/events")
    eventually(lambda: not tail(live).listeners, "the asker to be forgotten", 20)


def test_all_listeners_share_one_look_a_tick(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    news = EventLog.news

    def counted(log: EventLog, after: int, most: int) -> object:
        looks.append(time.monotonic())
        return news(log, after, most)

    monkeypatch.setattr(EventLog, "news", counted)
    heard = [StreamListener(live.http) for _ in range(30)]
    for listener in heard:
        listener.hello()
    looks.clear()
    job = submit(live.jobs)
    for listener in heard:
        listener.wait_for("job", id=job)
    seconds = time.monotonic() - looks[0]
    assert len(looks) <= seconds / event_tail.POLL_SECONDS + 2
    live.stop()
