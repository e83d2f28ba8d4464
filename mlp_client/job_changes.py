"""How the events of a stream change what is known about a job."""

import json

import httpx2

from mlp_client.records import Epoch, Event, Job, Progress

POLL_SECONDS = 0.5
STREAM_TIMEOUT_SECONDS = 10.0
"""Time without a byte after which the record is polled and the stream opened again.

It is shorter than the 15 s between the server's pings, so that a dead connection is found sooner.
"""
NO_MORE_EVENTS = 204
"""The status of a stream when the job is finished and the client has all its events."""


def updated(job: Job, event: httpx2.ServerSentEvent) -> Job:
    """Return the job with the content of an event. Events that are already known change nothing.

    Raises:
        ValueError: the data of the event is invalid.

    """
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


def numbered(message: httpx2.ServerSentEvent, last: str) -> Event | None:
    """Return a message as an event, or None if it has no number of its own or is of another kind.

    Args:
        message: a message of the stream.
        last: id of the last event that was received; httpx2 repeats it for a progress.

    """
    if message.id == last:
        return None
    try:
        data = dict(json.loads(message.data))
        fields = {"number": message.id, "type": message.event, "at": data.pop("at", None)}
        return Event.model_validate({**fields, "data": data})
    except (TypeError, ValueError):
        return None
