"""Jobs: submit them, find them, wait for them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Unpack, overload

from mlp_client import job_calls, watch
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.images import Image, Images
from mlp_client.job_calls import Action, BulkAction, Sort
from mlp_client.job_spec import PresetName
from mlp_client.job_view import JobView, raise_if_unsuccessful
from mlp_client.models import Models
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.prediction_options import PredictionOptions
from mlp_client.predictions import Prediction
from mlp_client.progress_display import display
from mlp_client.records import Epoch, Event, Job, JobActionResult, JobPreview
from mlp_client.spec_fields import SpecFields


class JobHandle(JobView):
    """A job on the server.

    The properties return what the server last said; only methods send requests.

    Attributes:
        data: the job as the server last described it; `refresh` updates it.

    """

    def __init__(self, connection: Connection, data: Job) -> None:
        super().__init__(data, connection.url)
        self._connection = connection

    def epochs(self, **options: Unpack[CallOptions]) -> list[Epoch]:
        """Request all epochs that are finished by now, in order.

        Raises:
            NotFoundError: the job has been deleted.

        """
        return self._connection.send(job_calls.epochs(self.id), **options).data

    def refresh(self, **options: Unpack[CallOptions]) -> "JobHandle":
        """Request the job again and return this handle, up to date.

        Raises:
            NotFoundError: the job has been deleted.

        """
        self.data = self._connection.send(job_calls.get(self.id), **options)
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

    def watch(self) -> Iterator["JobHandle"]:
        """Yield this handle after each change of the job, the last time in its final state.

        Raises:
            NotFoundError: the job has been deleted.
            ConnectionFailed: the server could not be reached for more than a minute.

        """
        for job in watch.follow(self._connection, self.id, threading.Event()):
            self.data = job
            yield self

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield the job's events, those of the past first, until the job has ended.

        Args:
            after: number of the last event that is already known.

        Raises:
            NotFoundError: the job has been deleted.
            ConnectionFailed: the server could not be reached for more than a minute.

        """
        return watch.listen(self._connection, self.id, after)

    def curves(self, format: PictureFormat = "png", **options: Unpack[CallOptions]) -> Picture:
        """Return the job's learning curves as a picture, `png` or `svg`."""
        return self._connection.send(job_calls.curves(self.id, format), **options)

    @overload
    def predict(self, image: Image, **options: Unpack[PredictionOptions]) -> Prediction: ...
    @overload
    def predict(self, image: Images, **options: Unpack[PredictionOptions]) -> list[Prediction]: ...
    def predict(self, image: Any, **options: Unpack[PredictionOptions]) -> Any:
        """Predict with this job's network.

        Args:
            image: one image or a list; see `Models.predict`.
            options: the other arguments of `Models.predict`.

        Raises:
            RefusedError: the job has no checkpoint yet, or the image can't be read.
            ImageUnusable: the image can't be sent.

        """
        return Models(self._connection).predict(image, self.id, **options)

    def cancel(self, **options: Unpack[CallOptions]) -> "JobHandle":
        """Cancel the job; its last checkpoint remains. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("cancel", options)

    def pause(self, **options: Unpack[CallOptions]) -> "JobHandle":
        """Pause the job after a checkpoint. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("pause", options)

    def resume(self, **options: Unpack[CallOptions]) -> "JobHandle":
        """Queue a paused job again. Returns this handle, up to date.

        Raises:
            RefusedError: the job's state does not allow it.

        """
        return self._act("resume", options)

    def label(
        self,
        name: str | None = None,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        **options: Unpack[CallOptions],
    ) -> "JobHandle":
        """Change the job's name, tags or notes, in any state. Returns this handle, up to date.

        Args:
            name: the new name; None keeps the name it has.
            tags: all tags that the job shall have; None keeps those it has.
            metadata: notes to set, by key; None in place of a note removes it.
            options: `timeout` and `max_retries` of the request.

        Raises:
            RefusedError: a label is too long, or there are too many.

        """
        labels = {"name": name, "tags": tags, "metadata": metadata}
        self.data = self._connection.send(job_calls.label(self.id, labels), **options)
        return self

    def delete(self, **options: Unpack[CallOptions]) -> None:
        """Delete the job with its checkpoints and metrics.

        Raises:
            RefusedError: the job has a worker; cancel it first.

        """
        self._connection.send(job_calls.delete(self.id), **options)

    def _act(self, action: Action, options: CallOptions) -> "JobHandle":
        self.data = self._connection.send(job_calls.act(self.id, action), **options)
        return self


class Jobs:
    """The jobs of a server, reached as `client.jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    def create(
        self,
        /,
        preset: PresetName | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[SpecFields],
    ) -> JobHandle:
        """Submit a job.

        Args:
            preset: name of a preset.
            timeout: seconds to wait for the next byte of the response.
            max_retries: how often the request is repeated.
            fields: fields of the spec (`mlp_client.job_spec.Spec`); they override the preset.

        Raises:
            RefusedError: the spec is invalid or too large; the message names each field to fix.
            SpecUnusable: a field can't be written as JSON.

        """
        call = job_calls.create(preset, {**fields})
        return JobHandle(self._connection, self._connection.send(call, timeout, max_retries))

    def preview(
        self,
        /,
        preset: PresetName | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[SpecFields],
    ) -> JobPreview:
        """Return what `create` with the same arguments would submit and cost, or why it would not.

        Nothing is stored.

        Args:
            preset: name of a preset.
            timeout: seconds to wait for the next byte of the response.
            max_retries: how often the request is repeated.
            fields: fields of the spec; they override the preset.

        Raises:
            SpecUnusable: a field can't be written as JSON.

        """
        call = job_calls.preview(preset, {**fields})
        return self._connection.send(call, timeout, max_retries)

    def get(self, job_id: str, **options: Unpack[CallOptions]) -> JobHandle:
        """Return the job with this id.

        Raises:
            NotFoundError: there is no such job.

        """
        return JobHandle(self._connection, self._connection.send(job_calls.get(job_id), **options))

    def list(
        self,
        state: Sequence[str] | str = (),
        limit: int | None = None,
        *,
        q: str = "",
        tag: Sequence[str] | str = (),
        sort: Sort | None = None,
        **options: Unpack[CallOptions],
    ) -> Iterator[JobHandle]:
        """Yield jobs, newest first unless `sort` says otherwise.

        A page is requested when the previous one is used up.

        Args:
            state: yield only jobs in this state, or in one of these states.
            limit: largest number of jobs; None yields all.
            q: words, each of which must occur in the name, the id, the layers (784-128-10), the
                activation, the preset, the tags or the state.
            tag: yield only jobs with this tag, or with all of these tags.
            sort: `-created` (newest first), `created`, `-best` (by accuracy), `best`, `name` or
                `-name`.
            options: `timeout` and `max_retries` of each request.

        Raises:
            RefusedError: there is no such state or order.

        """
        calls = job_calls.pages(state, limit, q, tag, sort)
        for page in self._connection.send_each(calls, **options):
            yield from (JobHandle(self._connection, job) for job in page.data)

    def act(
        self,
        action: BulkAction,
        jobs: Sequence[JobHandle | str],
        **options: Unpack[CallOptions],
    ) -> Sequence[JobActionResult]:
        """Cancel, pause, resume or delete up to 500 jobs, and return what became of each.

        A job that does not allow the action has a `problem` in its result.

        Args:
            action: `cancel`, `pause`, `resume` or `delete`.
            jobs: handles or ids; the `data` of handles is not updated.
            options: `timeout` and `max_retries` of the request.

        """
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return self._connection.send(job_calls.act_on_all(ids, action), **options).data


def wait_all(
    jobs: Sequence[JobHandle], progress: bool | None = None, timeout: float | None = None
) -> None:
    """Wait until all jobs have ended, and keep their `data` up to date meanwhile.

    Args:
        jobs: jobs of one server.
        progress: True shows bars on a terminal and lines of text elsewhere, False shows nothing,
            None shows bars on a terminal and nothing elsewhere. Bars need the package rich.
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
        for job in watch.follow_all(connection, list(handles), timeout):
            handles[job.id].data = job
            show(job)
    raise_if_unsuccessful(jobs)
