"""Jobs: submit them, find them, wait for them."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, overload

from mlp_client.connection import Connection
from mlp_client.errors import JobCancelled, JobFailed
from mlp_client.images import Image, Images
from mlp_client.job_state import State
from mlp_client.models import Models, PictureFormat
from mlp_client.predictions import Prediction
from mlp_client.progress_display import display
from mlp_client.records import Epoch, Job, Metrics, Progress, Reason, Record
from mlp_client.spec import StoredSpec
from mlp_client.watch import follow_all

PAGE = 100


class _Page(Record):
    data: list[Job]
    has_more: bool
    last_id: str | None


class _Epochs(Record):
    data: list[Epoch]


class JobHandle:
    """A job of the server. `data` is what was last heard of it; `refresh` asks again."""

    def __init__(self, connection: Connection, data: Job) -> None:
        self._connection = connection
        self._path = f"/v1/jobs/{data.id}"
        self.data = data

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        return self.data.id

    @property
    def state(self) -> State:
        return self.data.state

    @property
    def reason(self) -> Reason | None:
        return self.data.reason

    @property
    def spec(self) -> StoredSpec:
        return self.data.spec

    @property
    def progress(self) -> Progress:
        return self.data.progress

    @property
    def metrics(self) -> Metrics:
        return self.data.metrics

    @property
    def url(self) -> str:
        return f"{self._connection.base_url}{self._path}"

    @property
    def epochs(self) -> list[Epoch]:
        """All epochs measured so far, asked for anew."""
        return self._connection.ask(_Epochs, f"{self._path}/epochs").data

    def refresh(self) -> "JobHandle":
        self.data = self._connection.ask(Job, self._path)
        return self

    def wait(self, progress: bool | None = None, timeout: float | None = None) -> "JobHandle":
        """Wait for the end, which a paused job reaches only after it is resumed; see `wait_all`.

        Ctrl-C stops the waiting, not the job.
        """
        wait_all([self], progress, timeout)
        return self

    def curves(self, format: PictureFormat = "png") -> bytes:
        return self._connection.fetch(f"{self._path}/curves.{format}")

    @overload
    def predict(self, image: Image, **options: Any) -> Prediction: ...
    @overload
    def predict(self, image: Images, **options: Any) -> list[Prediction]: ...
    def predict(self, image: Any, **options: Any) -> Any:
        """As `Models.predict`, by this job's network."""
        return Models(self._connection).predict(image, self.id, **options)

    def cancel(self) -> "JobHandle":
        return self._move("cancel")

    def pause(self) -> "JobHandle":
        return self._move("pause")

    def resume(self) -> "JobHandle":
        return self._move("resume")

    def delete(self) -> None:
        self._connection.request("DELETE", self._path)

    def _move(self, action: str) -> "JobHandle":
        self.data = self._connection.ask(Job, f"{self._path}/{action}", method="POST")
        return self


class Jobs:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, /, preset: str | None = None, **fields: Any) -> JobHandle:
        """Submit a job; the fields are those of `mlp_client.records.Spec` and override the preset.

        Raises:
            RefusedError: the spec can't run; its message names each field to mend.

        """
        body = fields if preset is None else {"preset": preset, **fields}
        # With a key of its own a submission sent twice, the first answer lost, is one job.
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        job = self._connection.ask(Job, "/v1/jobs", method="POST", json=body, headers=headers)
        return JobHandle(self._connection, job)

    def get(self, job_id: str) -> JobHandle:
        return JobHandle(self._connection, self._connection.ask(Job, f"/v1/jobs/{job_id}"))

    def list(
        self, state: Sequence[str] | str = (), limit: int | None = None
    ) -> Iterator[JobHandle]:
        """Yield jobs, newest first, page by page as they are asked for.

        Args:
            state: only jobs in this state, or in one of these.
            limit: at most so many.

        """
        states = [state] if isinstance(state, str) else list(state)
        left = limit
        after: dict[str, str] = {}
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            params = {"limit": size, "state": states, **after}
            page = self._connection.ask(_Page, "/v1/jobs", params=params)
            yield from (JobHandle(self._connection, job) for job in page.data)
            if not page.has_more or page.last_id is None:
                return
            left = None if left is None else left - len(page.data)
            after = {"after": page.last_id}


def wait_all(
    jobs: Sequence[JobHandle], progress: bool | None = None, timeout: float | None = None
) -> None:
    """Wait until all jobs have ended, with a bar for each, and keep their `data` up to date.

    Args:
        progress: True shows bars on a terminal and lines of text elsewhere, False nothing;
            None shows bars on a terminal and nothing elsewhere.
        timeout: seconds to wait at most; the jobs go on.

    Raises:
        JobFailed, JobCancelled: by the first such job in the list, once all have ended.
        WaitTimeout: the time is over.
        ConnectionFailed: the server was away for more than a minute.

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
