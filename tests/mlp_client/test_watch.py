"""Waiting for jobs: events, polling, interruptions and the display of progress."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from mlp_client import JobCancelled, JobFailed, NotFoundError, WaitTimeout
from mlp_client.records import Job
from mlp_client.watch import follow
from tests.support.fake_service import (
    FakeService,
    Stream,
    epoch_message,
    make_epoch,
    make_job,
    message,
    state_message,
)

DONE = make_job("job_1", "succeeded", done=3)


pytestmark = pytest.mark.usefixtures("quick_polls")


def follow_to_the_end(service: FakeService) -> list[Job]:
    return list(follow(service.connection(), "job_1", threading.Event()))


def last_event_ids(service: FakeService) -> list[str | None]:
    return [
        request.headers.get("Last-Event-ID")
        for request in service.requests
        if request.url.path.endswith("/events")
    ]


def test_wait_returns_the_job_in_its_final_state() -> None:
    service = FakeService()
    stream: Stream = [epoch_message(1, 3), epoch_message(2, 4), DONE, state_message("succeeded", 6)]
    service.add(make_job("job_1"), stream)
    job = service.client().jobs.get("job_1")
    assert job.wait() is job
    assert job.metrics.final == make_epoch(3)


def test_events_bring_epochs_and_progress_before_the_end() -> None:
    service = FakeService()
    half = make_job("job_1").progress.model_copy(update={"fraction": 0.5, "batches_done": 469})
    stream: Stream = [epoch_message(1, 3), message("progress", half.model_dump()), DONE]
    service.add(make_job("job_1"), stream)
    updates = follow_to_the_end(service)
    assert [job.progress.epochs_done for job in updates][:2] == [0, 1]
    assert updates[1].metrics.latest == make_epoch(1)
    assert updates[2].progress.fraction == 0.5


def test_a_broken_stream_is_resumed_after_the_last_event() -> None:
    service = FakeService()
    broken: Stream = [epoch_message(1, 3), message("progress", "{"), httpx2.ReadError("reset")]
    service.add(make_job("job_1"), broken, [DONE, state_message("succeeded", 6)])
    follow_to_the_end(service)
    assert last_event_ids(service) == [None, "3"]


def test_the_history_at_the_start_of_a_stream_does_not_set_the_job_back() -> None:
    service = FakeService()
    stream: Stream = [state_message("queued", 1), epoch_message(1, 2), epoch_message(2, 3), DONE]
    service.add(make_job("job_1", done=2), stream)
    updates = follow_to_the_end(service)
    assert {job.state for job in updates[:-1]} == {"running"}
    assert {job.progress.epochs_done for job in updates[:-1]} == {2}


def test_the_job_is_polled_if_a_proxy_blocks_event_streams() -> None:
    records = [make_job("job_1", done=1), make_job("job_1", done=2), DONE]

    class BehindAProxy(FakeService):
        def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            self.add(records.pop(0))
            return httpx2.Response(200, text="<html>a proxy</html>")

    service = BehindAProxy()
    service.add(make_job("job_1"))
    assert [job.progress.epochs_done for job in follow_to_the_end(service)] == [0, 1, 2, 3]


def test_a_restart_of_the_server_does_not_end_the_waiting() -> None:
    class Restarting(FakeService):
        def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            self.faults.extend([httpx2.ConnectError("refused")] * 2)
            raise httpx2.RemoteProtocolError("the connection was closed")

        def get_job(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            answer = super().get_job(request, job_id)
            self.add(DONE)
            return answer

    service = Restarting()
    service.add(make_job("job_1"))
    updates = follow_to_the_end(service)
    assert [job.state for job in updates] == ["running", "succeeded"]
    assert len(service.requests) == 5  # polled, listened, refused twice, polled


def test_a_failed_job_raises_with_the_reason() -> None:
    service = FakeService()
    service.add(make_job("job_1", "failed", message="the loss is not finite in epoch 2"))
    with pytest.raises(JobFailed, match="job_1 failed: the loss is not finite") as caught:
        service.client().jobs.get("job_1").wait()
    assert caught.value.job.state == "failed"


def test_a_cancelled_job_raises_too() -> None:
    service = FakeService()
    service.add(make_job("job_1"), [make_job("job_1", "cancelled"), state_message("cancelled", 9)])
    with pytest.raises(JobCancelled, match="no reason given"):
        service.client().jobs.get("job_1").wait()


def test_wait_times_out_even_if_the_stream_never_pauses() -> None:
    class Restless(FakeService):
        def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            service.streams.append([b": ping\n\n", message("warning", {})] * 10_000)
            return super().open_stream(request, job_id)

    service = Restless()
    service.add(make_job("job_1", "paused"))
    job = service.client().jobs.get("job_1")
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match="job_1"):
        job.wait(timeout=0.1)
    assert time.monotonic() - began < 10


def test_wait_continues_while_the_job_is_paused() -> None:
    service = FakeService()
    resumed: Stream = [
        state_message("paused", 5),
        make_job("job_1"),
        state_message("queued", 6),
        DONE,
    ]
    service.add(make_job("job_1", "paused"), resumed)
    assert service.client().jobs.get("job_1").wait().state == "succeeded"


def test_all_jobs_are_waited_for_before_a_failure_is_raised() -> None:
    service = FakeService()
    service.add(make_job("job_1", "failed", message="diverged"))
    service.add(make_job("job_2"), [make_job("job_2", "succeeded", done=3)])
    client = service.client()
    jobs = [client.jobs.get("job_1"), client.jobs.get("job_2")]
    with pytest.raises(JobFailed, match="diverged"):
        client.wait_all(jobs)
    assert [job.state for job in jobs] == ["failed", "succeeded"]


def test_deleting_the_job_ends_the_waiting() -> None:
    service = FakeService()
    service.add(make_job("job_1", "paused"))
    job = service.client().jobs.get("job_1")
    job.delete()
    with pytest.raises(NotFoundError, match="There is no job 'job_1'"):
        job.wait()


def test_waiting_for_no_jobs_ends_immediately() -> None:
    FakeService().client().wait_all([])


def test_nothing_is_shown_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    service = FakeService()
    service.add(make_job("job_1"), [epoch_message(1, 3), DONE, state_message("succeeded", 6)])
    service.client().jobs.get("job_1").wait()
    assert capfd.readouterr() == ("", "")


def test_lines_show_the_progress_without_a_terminal_if_requested(
    capfd: pytest.CaptureFixture[str],
) -> None:
    service = FakeService()
    epochs = [epoch_message(number, number + 2) for number in range(1, 26)]
    end = make_job("job_1", "succeeded", done=25, epochs=25, name="[red]")
    service.add(
        make_job("job_1", epochs=25, name="[red]"), [*epochs, end, state_message("succeeded", 40)]
    )
    service.client().jobs.get("job_1").wait(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split("  ")[0] for line in err.splitlines()] == [
        "[red]: epoch 10/25",
        "[red]: epoch 20/25",
        "[red]: epoch 25/25",
    ]
    assert "test  98.00%" in err


def test_bars_are_drawn_on_a_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    service = FakeService()
    service.add(make_job("job_1", name="[red]"), [epoch_message(1, 3), DONE])
    service.add(make_job("job_2", "paused"), [])
    client = service.client()
    jobs = [client.jobs.get("job_1"), client.jobs.get("job_2")]
    with pytest.raises(WaitTimeout):
        client.wait_all(jobs, timeout=0.2)
    shown = capfd.readouterr().err
    assert "[red]" in shown
    assert "epoch  3/3" in shown
    assert "paused" in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt: a background process may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_stops_the_waiting_and_leaves_the_job_and_a_clean_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    interrupt = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    class Interrupting(FakeService):
        def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            if not interrupt.ident:
                interrupt.start()  # the main thread waits for updates by now
            return super().open_stream(request, job_id)

    service = Interrupting()
    service.add(make_job("job_1", "paused"))
    job = service.client().jobs.get("job_1")
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert capfd.readouterr().err.rstrip().endswith("\x1b[?25h")
    assert not any("cancel" in path for path in service.paths())
