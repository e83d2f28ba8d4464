"""Follow jobs until they end, by polling their records and listening to their events in between.

The record from `GET /v1/jobs/{id}` is the truth; events only deliver changes sooner. A stream that
breaks, or that a proxy does not pass on, delays the display of progress and has no other effect.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Sequence

import httpx2

from mlp_client.connection import Connection
from mlp_client.errors import WaitTimeout
from mlp_client.job_state import FINAL
from mlp_client.records import Epoch, Job, Progress

POLL_SECONDS = 0.5
STREAM_TIMEOUT_SECONDS = 10.0
"""Time without a byte after which the record is polled and the stream opened again.

It is shorter than the 15 s between the server's pings, so that a dead connection is found sooner.
"""
OUTAGE_SECONDS = 60.0
"""How long the server may be unreachable, for a restart or an upgrade, before waiting fails."""


def follow(connection: Connection, job_id: str, stop: threading.Event) -> Iterator[Job]:
    """Yield the job after each change, the last time in its final state.

    Args:
        connection: to the job's server.
        job_id: id of the job.
        stop: ends the iteration when it is set.

    Raises:
        NotFoundError: the job has been deleted.
        ConnectionFailed: the server was unreachable for too long.

    """
    path = f"/v1/jobs/{job_id}"
    last_event = ""
    job = _poll(connection, path)
    yield job
    while job.state not in FINAL and not stop.is_set():
        # ValueError: the data of an event is invalid. Polling the record makes up for it.
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(f"{path}/events", last_event, STREAM_TIMEOUT_SECONDS) as events,
        ):
            for event in events:
                last_event = event.id or last_event
                if event.event == "state":  # possibly an old one: a stream begins with history
                    job = _poll(connection, path)
                else:
                    job = _updated(job, event)
                yield job
                if job.state in FINAL or stop.is_set():
                    return
        stop.wait(POLL_SECONDS)
        job = _poll(connection, path)
        yield job


def _poll(connection: Connection, path: str) -> Job:
    return connection.request_record(Job, path, retry_seconds=OUTAGE_SECONDS)


def follow_all(
    connection: Connection, job_ids: Sequence[str], timeout: float | None
) -> Iterator[Job]:
    """Follow several jobs concurrently, each in a thread, until all have ended.

    Args:
        connection: to the jobs' server.
        job_ids: ids of the jobs.
        timeout: longest time, in seconds.

    Yields:
        Each job after each of its changes.

    Raises:
        WaitTimeout: the time is over.
        NotFoundError, ConnectionFailed: as for `follow`.

    """
    updates: queue.SimpleQueue[Job | Exception] = queue.SimpleQueue()
    stop = threading.Event()
    pending = dict.fromkeys(job_ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    # Daemon threads, because one that waits for a silent stream must not delay the exit.
    for job_id in pending:
        arguments = (connection, job_id, stop, updates)
        threading.Thread(target=_forward, args=arguments, daemon=True).start()
    try:
        while pending:
            item = _next(updates, deadline)
            if isinstance(item, Exception):
                raise item
            if item is None:
                raise WaitTimeout(list(pending), timeout or 0)
            if item.state in FINAL:
                pending.pop(item.id, None)
            yield item
    finally:
        stop.set()


def _forward(
    connection: Connection,
    job_id: str,
    stop: threading.Event,
    updates: queue.SimpleQueue[Job | Exception],
) -> None:
    """Follow a job and put each update, or the error that ended it, into the queue."""
    try:
        for job in follow(connection, job_id, stop):
            updates.put(job)
    except Exception as error:  # raised again in the thread that waits
        updates.put(error)


def _next(
    updates: queue.SimpleQueue[Job | Exception], deadline: float | None
) -> Job | Exception | None:
    """Return the next item, or None once the deadline has passed."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        return None
    try:
        return updates.get(timeout=left)
    except queue.Empty:
        return None


def _updated(job: Job, event: httpx2.ServerSentEvent) -> Job:
    """Return the job with the content of an event. Events that are already known change nothing."""
    if event.event == "progress":
        return job.model_copy(update={"progress": Progress.model_validate_json(event.data)})
    if event.event != "epoch":
        return job
    epoch = Epoch.model_validate_json(event.data)
    if job.metrics.latest and epoch.epoch <= job.metrics.latest.epoch:
        return job
    metrics = job.metrics.model_copy(update={"latest": epoch})
    if epoch.epoch <= job.progress.epochs_done:  # it was evaluated while the next one trained
        return job.model_copy(update={"metrics": metrics})
    progress = job.progress.model_copy(update={"epochs_done": epoch.epoch, "batches_done": 0})
    return job.model_copy(update={"progress": progress, "metrics": metrics})
