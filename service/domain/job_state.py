"""Job states as the server uses them: those that clients see, and those that have a worker."""

from mlp_client.job_state import FINAL, State

__all__ = ["FINAL", "WITH_WORKER", "State"]

WITH_WORKER = (State.RUNNING, State.PAUSING, State.CANCELLING)
"""The states in which a job has a worker, or is about to get one."""
