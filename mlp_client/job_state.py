"""The states of a job. This module imports nothing else of the package, so that it loads fast."""

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life. The state is also the request of a client; there are no flags."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # a worker trains it, or is about to
    PAUSING = "pausing"  # a client requested a pause; the worker is saving a checkpoint
    PAUSED = "paused"  # has no worker; `resume` queues it again
    CANCELLING = "cancelling"  # a client cancelled it; the worker is about to stop
    SUCCEEDED = "succeeded"  # all epochs are done
    FAILED = "failed"  # `reason` says why
    CANCELLED = "cancelled"  # it was cancelled; its last checkpoint remains readable


FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
"""The states that a job never leaves."""
