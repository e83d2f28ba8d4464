"""What is known about a job without asking its server: the properties and the look of handles."""

from collections.abc import Sequence
from html import escape

from mlp_client import job_calls
from mlp_client.errors import JobCancelled, JobFailed
from mlp_client.job_spec import StoredSpec
from mlp_client.job_state import State
from mlp_client.records import Job, Metrics, Progress, Reason


class JobView:
    """A job as the server last described it.

    The properties return what the server last said; only methods send requests.

    Attributes:
        data: the job as the server last described it; `refresh` updates it.

    """

    def __init__(self, data: Job, server: str) -> None:
        self.data = data
        self._server = server

    @property
    def id(self) -> str:
        """Identifier of the job, `job_…`."""
        return self.data.id

    @property
    def state(self) -> State:
        """Where the job is in its life."""
        return self.data.state

    @property
    def reason(self) -> Reason | None:
        """Why the job is in its state, if there is something to explain."""
        return self.data.reason

    @property
    def spec(self) -> StoredSpec:
        """The spec with all its fields, as the server accepted it."""
        return self.data.spec

    @property
    def progress(self) -> Progress:
        """How far the training has come."""
        return self.data.progress

    @property
    def metrics(self) -> Metrics:
        """The latest, the best and the final epoch."""
        return self.data.metrics

    @property
    def url(self) -> str:
        """Address of the job on its server."""
        return f"{self._server}{job_calls.path_of(self.id)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {_summary(self.data)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{escape(value)}</td></tr>"
            for name, value in _rows(self.data).items()
        )
        return f"<table>{rows}</table>"


def _summary(job: Job) -> str:
    """Return a line such as `running 3/50 epochs, test 97.2 %`."""
    progress, latest = job.progress, job.metrics.latest
    done = f"{job.state.value} {progress.epochs_done}/{progress.epochs} epochs"
    accuracy = f", test {_percent(latest.test_accuracy)}" if latest else ""
    why = f": {job.reason.message}" if job.state == State.FAILED and job.reason else ""
    return f"{done}{accuracy}{why}"


def _rows(job: Job) -> dict[str, str]:
    latest = job.metrics.latest
    rows = {
        "job": job.id,
        "name": job.spec.name,
        "hidden layers": ", ".join(str(units) for units in job.spec.hidden) or "none",
        "state": job.state.value,
        "epochs": f"{job.progress.epochs_done} of {job.progress.epochs}",
        "test accuracy": _percent(latest.test_accuracy) if latest else "",
        "training loss": f"{latest.train_loss:.4f}" if latest else "",
        "reason": job.reason.message if job.reason else "",
    }
    return {name: value for name, value in rows.items() if value}


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def raise_if_unsuccessful(jobs: Sequence[JobView]) -> None:
    """Raise the error for the first job that has failed or was cancelled.

    Raises:
        JobFailed, JobCancelled: there is such a job.

    """
    for job in jobs:
        if job.state == State.FAILED:
            raise JobFailed(job.data)
        if job.state == State.CANCELLED:
            raise JobCancelled(job.data)
