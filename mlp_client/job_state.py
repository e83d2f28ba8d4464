"""Where a job is in its life; apart from `job.py`, because a worker starts faster without it."""

from enum import StrEnum


class State(StrEnum):
    """The state is the request: there are no flags beside it."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker trains it, or is about to
    PAUSING = "pausing"  # a client asked to pause; its worker saves a checkpoint
    PAUSED = "paused"  # no worker; `resume` queues it again
    CANCELLING = "cancelling"  # a client asked to cancel; its worker is about to stop
    SUCCEEDED = "succeeded"  # all epochs are done
    FAILED = "failed"  # `reason` says why
    CANCELLED = "cancelled"  # a client ended it; its last checkpoint stays readable


FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
WITH_WORKER = (State.RUNNING, State.PAUSING, State.CANCELLING)
