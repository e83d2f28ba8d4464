"""The states of a job, as the server needs them: those that clients see, and who has a worker."""

from mlp_client.job_state import FINAL, State

__all__ = ["FINAL", "WITH_WORKER", "State"]

WITH_WORKER = (State.RUNNING, State.PAUSING, State.CANCELLING)
"""The states in which a job has a worker, or is about to get one."""
