"""Follow jobs to their end: ask how they are, and between two questions listen to their events.

The record from `GET /v1/jobs/{id}` is the truth; events only bring news sooner. So a stream that
breaks, or that a proxy swallows, costs freshness and nothing else.
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
# The server pings every 15 s. Asking again sooner than that finds a dead connection sooner.
SILENCE_SECONDS = 10.0
# How long a server may be away (a restart, an upgrade) before waiting gives up.
OUTAGE_SECONDS = 60.0


def follow(connection: Connection, job_id: str, stop: threading.Event) -> Iterator[Job]:
    """Yield the job whenever something is new, last of all in its final state."""
    path = f"/v1/jobs/{job_id}"
    seen = ""  # id of the last event
    job = connection.ask(Job, path, patience=OUTAGE_SECONDS)
    yield job
    while job.state not in FINAL and not stop.is_set():
        # ValueError: an event that is no JSON or no record we know. Asking again is the remedy.
        with (
            contextlib.suppress(httpx2.TransportError, ValueError),
            connection.events(f"{path}/events", after=seen, silence=SILENCE_SECONDS) as events,
        ):
            for event in events:
                seen = event.id or seen
                if event.event == "state":  # maybe an old one: a stream begins with history
                    job = connection.ask(Job, path, patience=OUTAGE_SECONDS)
                else:
                    job = _with_news(job, event)
                yield job
                if job.state in FINAL or stop.is_set():
                    return
        stop.wait(POLL_SECONDS)
        job = connection.ask(Job, path, patience=OUTAGE_SECONDS)
        yield job


def follow_all(
    connection: Connection, job_ids: Sequence[str], timeout: float | None
) -> Iterator[Job]:
    """Follow many jobs at once, a thread each, until all are final.

    Raises:
        WaitTimeout: `timeout` seconds are over.

    """
    news: queue.SimpleQueue[Job | Exception] = queue.SimpleQueue()
    stop = threading.Event()
    pending = dict.fromkeys(job_ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    # Daemons: a thread that still listens to a silent stream must not hold up the exit.
    for job_id in pending:
        arguments = (connection, job_id, stop, news)
        threading.Thread(target=_report, args=arguments, daemon=True).start()
    try:
        while pending:
            item = _next(news, deadline)
            if isinstance(item, Exception):
                raise item
            if item is None:
                raise WaitTimeout(list(pending), timeout or 0)
            if item.state in FINAL:
                pending.pop(item.id, None)
            yield item
    finally:
        stop.set()


def _report(
    connection: Connection,
    job_id: str,
    stop: threading.Event,
    news: queue.SimpleQueue[Job | Exception],
) -> None:
    try:
        for job in follow(connection, job_id, stop):
            news.put(job)
    except Exception as error:  # raised again by the thread that waits
        news.put(error)


def _next(
    news: queue.SimpleQueue[Job | Exception], deadline: float | None
) -> Job | Exception | None:
    """Return the next item, or None once the deadline has passed."""
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        return None
    try:
        return news.get(timeout=left)
    except queue.Empty:
        return None


def _with_news(job: Job, event: httpx2.ServerSentEvent) -> Job:
    """Return the job with what the event tells; the history that is sent again tells nothing."""
    if event.event == "progress":
        return job.model_copy(update={"progress": Progress.model_validate_json(event.data)})
    if event.event != "epoch":
        return job
    epoch = Epoch.model_validate_json(event.data)
    if job.metrics.latest and epoch.epoch <= job.metrics.latest.epoch:
        return job
    metrics = job.metrics.model_copy(update={"latest": epoch})
    if epoch.epoch <= job.progress.epochs_done:  # its record came when the next one had begun
        return job.model_copy(update={"metrics": metrics})
    progress = job.progress.model_copy(update={"epochs_done": epoch.epoch, "batches_done": 0})
    return job.model_copy(update={"progress": progress, "metrics": metrics})
