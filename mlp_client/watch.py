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

from mlp_client import dataset_calls, job_calls, job_changes, service_events
from mlp_client.connection import Connection
from mlp_client.dataset_records import DatasetRecord
from mlp_client.errors import WaitTimeout
from mlp_client.job_changes import NO_MORE_EVENTS, STREAM_TIMEOUT_SECONDS
from mlp_client.job_state import FINAL
from mlp_client.records import Event, Job
from mlp_client.service_events import SILENCE_SECONDS, ServiceEvent


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
    path, last = f"{job_calls.path_of(job_id)}/events", ""
    job = connection.send(job_calls.poll(job_id))
    yield job
    while job.state not in FINAL and not stop.is_set():
        # ValueError: the data of an event is invalid. Polling the record makes up for it.
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(path, last, STREAM_TIMEOUT_SECONDS) as events,
        ):
            for event in events:
                last = event.id or last
                if event.event == "state":  # possibly an old one: a stream begins with history
                    job = connection.send(job_calls.poll(job_id))
                else:
                    job = job_changes.updated(job, event)
                yield job
                if job.state in FINAL or stop.is_set():
                    return
        stop.wait(job_changes.POLL_SECONDS)
        job = connection.send(job_calls.poll(job_id))
        yield job


def listen(connection: Connection, job_id: str, after: int) -> Iterator[Event]:
    """Yield the events of a job after the one with this number, until the job has ended.

    Raises:
        NotFoundError: the job has been deleted.
        ConnectionFailed: the server was unreachable for too long.

    """
    path, last = f"{job_calls.path_of(job_id)}/events", str(after)
    while True:
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(path, last, STREAM_TIMEOUT_SECONDS) as messages,
        ):
            if messages.response.status_code == NO_MORE_EVENTS:
                return
            for message in messages:
                if event := job_changes.numbered(message, last):
                    last = message.id
                    yield event
        connection.send(job_calls.poll(job_id))
        time.sleep(job_changes.POLL_SECONDS)


def listen_to_all(connection: Connection, after: int | None) -> Iterator[ServiceEvent]:
    """Yield what happens to all jobs, without an end.

    Raises:
        KeyRefused: the key is missing or has ended.
        ConnectionFailed: the server was unreachable for too long.

    """
    last = "" if after is None else str(after)
    while True:
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(service_events.PATH, last, SILENCE_SECONDS) as messages,
        ):
            for message in messages:
                event = service_events.service_event(message)
                last = str(event.cursor)
                if event.type != service_events.PING:
                    yield event
        connection.send(service_events.check_access())
        time.sleep(job_changes.POLL_SECONDS)


def listen_to_set(connection: Connection, name: str) -> Iterator[DatasetRecord]:
    """Yield a data set as it is now and after each change, until its check has ended.

    Raises:
        NotFoundError: the data set has been deleted.
        ConnectionFailed: the server was unreachable for too long.

    """
    path = f"{dataset_calls.path_of(name)}/events"
    last: DatasetRecord | None = None
    while True:
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(path, "", STREAM_TIMEOUT_SECONDS) as messages,
        ):
            for message in messages:
                if (data := dataset_calls.changed(message, last)) is not None:
                    yield (last := data)
        if last is not None and last.state in dataset_calls.RESTING:
            return
        looked = connection.send(dataset_calls.look(name))
        if looked != last:
            yield (last := looked)


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
