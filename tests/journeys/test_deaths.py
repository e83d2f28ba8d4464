"""Whatever is killed, no job is lost and the finished network has the same bytes."""

import os
import signal

import pytest

from tests.support.ledger import freeze
from tests.support.server_process import Server, eventually

EPOCHS = 8
JOB = {"preset": "mlp-relu", "epochs": EPOCHS}
LONG = {"preset": "mlp-relu", "epochs": 200}


def stop_worker(server: Server, job: str) -> int:
    """Freeze the job's worker in the middle of its work; return its pid."""
    server.wait_for_progress(job, 0.005)
    pid = server.worker(job)
    assert pid is not None
    assert freeze(pid)
    return pid


def epoch_numbers(server: Server, job: str) -> list[int]:
    return [epoch["epoch"] for epoch in server.http.get(f"/v1/jobs/{job}/epochs").json()["data"]]


def test_a_worker_that_dies_without_a_server_is_replaced_by_the_next_server(
    server: Server,
) -> None:
    job = server.submit(**JOB)
    server.wait_for_progress(job, 0.2)
    server.kill()
    os.kill(server.workers()[0], signal.SIGKILL)
    server.start()
    ended = server.wait(job, "succeeded")
    assert ended["attempt"] == 2
    assert epoch_numbers(server, job) == list(range(1, EPOCHS + 1))


def test_sigterm_requeues_running_jobs_without_a_lost_worker(server: Server) -> None:
    jobs = [server.submit(**LONG), server.submit(**LONG), server.submit(**JOB)]
    for job in jobs[:2]:
        server.wait_for_progress(job, 0.01)
    code, seconds = server.terminate()
    assert code == 0
    assert seconds < 8
    assert server.workers() == []
    server.start()
    for job in jobs[:2]:
        resumed = server.wait_for_progress(job, 0.01)
        assert (resumed["attempt"], resumed["lost_workers"]) == (2, 0)
    states = [event for event in _events(server, jobs[0]) if event.startswith('{"state"')]
    assert '"state": "queued", "attempt": 1, "reason": {"code": "shutdown"' in states[2]


def _events(server: Server, job: str) -> list[str]:
    server.act(job, "cancel")
    text = server.http.get(f"/v1/jobs/{job}/events").text
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data")]


def test_a_running_job_pauses_and_resumes_with_the_same_weights(server: Server) -> None:
    undisturbed, paused = server.submit(**JOB), server.submit(**JOB)
    server.wait_for_progress(paused, 0.3)
    assert server.act(paused, "pause").json()["state"] == "pausing"
    waiting = server.wait(paused, "paused")
    assert (waiting["reason"]["code"], waiting["lost_workers"]) == ("user", 0)
    eventually(lambda: server.worker(paused) is None, "the worker to exit")
    assert server.act(paused, "resume").json()["state"] == "queued"
    ended, reference = server.wait(paused, "succeeded"), server.wait(undisturbed, "succeeded")
    assert ended["weights_sha256"] == reference["weights_sha256"]
    assert ended["attempt"] == 2


def test_a_running_job_is_cancelled_and_still_predicts(server: Server) -> None:
    job = server.submit(**LONG)
    server.wait_for_progress(job, 0.01)
    assert server.act(job, "cancel").json()["state"] == "cancelling"
    assert server.wait(job, "cancelled")["reason"]["code"] == "user"
    body = {"inputs": [{"dataset": "mnist", "index": 0}]}
    answer = server.http.post(f"/v1/models/{job}/predict", json=body)
    assert answer.json()["predictions"][0]["label"] == 7


@pytest.mark.parametrize(
    ("action", "stopping", "ended"),
    [("pause", "pausing", "paused"), ("cancel", "cancelling", "cancelled")],
)
def test_a_job_whose_worker_is_killed_while_stopping_stops_as_requested(
    server: Server, action: str, stopping: str, ended: str
) -> None:
    job = server.submit(**LONG)
    worker = stop_worker(server, job)
    assert server.act(job, action).json()["state"] == stopping
    os.kill(worker, signal.SIGKILL)
    assert server.wait(job, ended)["reason"]["code"] == "user"


@pytest.mark.parametrize(("action", "ended"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_worker_that_hangs_is_killed_when_its_job_is_to_stop(
    server: Server, action: str, ended: str
) -> None:
    job = server.submit(**LONG)
    worker = stop_worker(server, job)
    server.act(job, action)
    assert server.wait(job, ended, seconds=15)["lost_workers"] == 0
    eventually(lambda: server.worker(job) != worker, "the hanging worker to be killed")


def test_a_pause_that_is_taken_back_in_time_lets_the_worker_continue(server: Server) -> None:
    job = server.submit(**JOB)
    worker = stop_worker(server, job)
    server.act(job, "pause")
    assert server.act(job, "resume").json()["state"] == "running"
    os.kill(worker, signal.SIGCONT)
    assert server.wait(job, "succeeded")["attempt"] == 1


def test_a_queued_job_pauses_resumes_and_is_cancelled(server: Server) -> None:
    for _ in range(2):
        server.submit(**LONG)
    job = server.submit(**JOB)
    assert server.job(job)["state"] == "queued"
    assert server.act(job, "pause").json()["state"] == "paused"
    assert server.act(job, "pause").json()["state"] == "paused"
    assert server.act(job, "resume").json()["state"] == "queued"
    assert server.act(job, "cancel").json()["state"] == "cancelled"
    refused = server.act(job, "resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong-move")
    assert server.http.delete(f"/v1/jobs/{job}").status_code == 204
    assert server.http.get(f"/v1/jobs/{job}").status_code == 404
