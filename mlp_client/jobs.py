"""Jobs: submit them, find them, wait for them."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, overload

from mlp_client.connection import Connection
from mlp_client.errors import JobCancelled, JobFailed
from mlp_client.images import Image, Images
from mlp_client.job_spec import StoredSpec
from mlp_client.job_state import State
from mlp_client.models import Models, PictureFormat
from mlp_client.predictions import Prediction
from mlp_client.progress_display import display
from mlp_client.records import Epoch, Job, Metrics, Progress, Reason, Record
from mlp_client.watch import follow_all

PAGE_SIZE = 100


class _Page(Record):
    data: list[Job]
    has_more: bool
    last_id: str | None


class _Epochs(Record):
    data: list[Epoch]


class JobHandle:
    """A job on the server.

    The properties return what the server last said; only methods send requests.

    Attributes:
        data: the job as the server last described it; `refresh` updates it.

    """

    def __init__(self, connection: Connection, data: Job) -> None:
        self._connection = connection
        self._path = f"/v1/jobs/{data.id}"
        self.data = data

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} {self.state.value}>"

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
        return f"{self._connection.base_url}{self._path}"

    def epochs(self) -> list[Epoch]:
        """Request all epochs that are finished by now, in order.

        Raises:
            NotFoundError: the job has been deleted.

        """
        return self._connection.request_record(_Epochs, f"{self._path}/epochs").data

    def refresh(self) -> "JobHandle":
        """Request the job again and return this handle, up to date.

        Raises:
            NotFoundError: the job has been deleted.

        """
        self.data = self._connection.request_record(Job, self._path)
        return self

    def wait(self, progress: bool | None = None, timeout: float | None = None) -> "JobHandle":
        """Wait until the job has ended and return this handle, up to date.

        A paused job ends only after it is resumed. Ctrl-C stops the waiting, not the job.

        Args:
            progress: whether to show the progress; see `wait_all`.
            timeout: longest time to wait, in seconds.

        Raises:
            JobFailed, JobCancelled: the job ended without success.
            WaitTimeout: the time is over; the job continues.
            NotFoundError: the job has been deleted.

        """
        wait_all([self], progress, timeout)
        return self

    def curves(self, format: PictureFormat = "png") -> bytes:
        """Return the job's learning curves as a picture, `png` or `svg`."""
        return self._connection.download(f"{self._path}/curves.{format}")

    @overload
    def predict(self, image: Image, **options: Any) -> Prediction: ...
    @overload
    def predict(self, image: Images, **options: Any) -> list[Prediction]: ...
    def predict(self, image: Any, **options: Any) -> Any:
        """Predict with this job's network.

        Args:
            image: one image or a list; see `Models.predict`.
            options: the other arguments of `Models.predict`.

        Raises:
            RefusedError: the job has no checkpoint yet, or the image can't be read.
            ImageUnusable: the image can't be sent.

        """
        return Models(self._connection).predict(image, self.id, **options)

    def cancel(self) -> "JobHandle":
        """Cancel the job; its last checkpoint remains. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("cancel")

    def pause(self) -> "JobHandle":
        """Pause the job after a checkpoint. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("pause")

    def resume(self) -> "JobHandle":
        """Queue a paused job again. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("resume")

    def delete(self) -> None:
        """Delete the job with its checkpoints and metrics.

        Raises:
            RefusedError: the job has a worker; cancel it first.

        """
        self._connection.request("DELETE", self._path)

    def _act(self, action: str) -> "JobHandle":
        path = f"{self._path}/{action}"
        self.data = self._connection.request_record(Job, path, method="POST")
        return self


class Jobs:
    """The jobs of a server, reached as `client.jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, /, preset: str | None = None, **fields: Any) -> JobHandle:
        """Submit a job.

        Args:
            preset: name of a preset.
            fields: fields of the spec (`mlp_client.job_spec.Spec`); they override the preset.

        Raises:
            RefusedError: the spec is invalid or too large; the message names each field to fix.

        """
        body = fields if preset is None else {"preset": preset, **fields}
        # If the response is lost and the submission is sent again, the key prevents a second job.
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        job = self._connection.request_record(
            Job, "/v1/jobs", method="POST", json=body, headers=headers
        )
        return JobHandle(self._connection, job)

    def get(self, job_id: str) -> JobHandle:
        """Return the job with this id.

        Raises:
            NotFoundError: there is no such job.

        """
        job = self._connection.request_record(Job, f"/v1/jobs/{job_id}")
        return JobHandle(self._connection, job)

    def list(
        self, state: Sequence[str] | str = (), limit: int | None = None
    ) -> Iterator[JobHandle]:
        """Yield jobs, newest first. A page is requested when the previous one is used up.

        Args:
            state: yield only jobs in this state, or in one of these states.
            limit: largest number of jobs; None yields all.

        Raises:
            RefusedError: there is no such state.

        """
        states = [state] if isinstance(state, str) else list(state)
        left = limit
        after: dict[str, str] = {}
        while left is None or left > 0:
            size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
            params = {"limit": size, "state": states, **after}
            page = self._connection.request_record(_Page, "/v1/jobs", params=params)
            yield from (JobHandle(self._connection, job) for job in page.data)
            if not page.has_more or page.last_id is None:
                return
            left = None if left is None else left - len(page.data)
            after = {"after": page.last_id}


def wait_all(
    jobs: Sequence[JobHandle], progress: bool | None = None, timeout: float | None = None
) -> None:
    """Wait until all jobs have ended, and keep their `data` up to date meanwhile.

    Args:
        jobs: jobs of one server.
        progress: True shows bars on a terminal and lines of text elsewhere, False shows nothing,
            None shows bars on a terminal and nothing elsewhere.
        timeout: longest time to wait, in seconds.

    Raises:
        JobFailed, JobCancelled: raised for the first such job in the list, once all have ended.
        WaitTimeout: the time is over; the jobs continue.
        ConnectionFailed: the server could not be reached for more than a minute.
        NotFoundError: one of the jobs has been deleted.

    """
    if not jobs:
        return
    handles = {job.id: job for job in jobs}
    connection = jobs[0]._connection
    with display([job.data for job in handles.values()], progress) as show:
        for job in follow_all(connection, list(handles), timeout):
            handles[job.id].data = job
            show(job)
    for handle in jobs:
        if handle.state == State.FAILED:
            raise JobFailed(handle.data)
        if handle.state == State.CANCELLED:
            raise JobCancelled(handle.data)
