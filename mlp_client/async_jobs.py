"""Jobs, for asyncio: the same methods as in `jobs`, with the same arguments, results and errors."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack, overload

from mlp_client import async_watch, job_calls
from mlp_client.async_connection import AsyncConnection
from mlp_client.async_models import AsyncModels
from mlp_client.calls import CallOptions
from mlp_client.documented_like import documented_like
from mlp_client.images import Image, Images
from mlp_client.job_calls import Action, BulkAction, Sort
from mlp_client.job_spec import PresetName
from mlp_client.job_view import JobView, raise_if_unsuccessful
from mlp_client.jobs import JobHandle, Jobs
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.prediction_options import PredictionOptions
from mlp_client.predictions import Prediction
from mlp_client.progress_display import display
from mlp_client.records import Epoch, Event, Job, JobActionResult, JobPreview
from mlp_client.spec_fields import SpecFields


@documented_like(JobHandle)
class AsyncJobHandle(JobView):
    """A job on the server; its methods are those of `JobHandle`.

    Attributes:
        data: the job as the server last described it; `refresh` updates it.

    """

    def __init__(self, connection: AsyncConnection, data: Job) -> None:
        super().__init__(data, connection.url)
        self._connection = connection

    async def epochs(self, **options: Unpack[CallOptions]) -> list[Epoch]:
        return (await self._connection.send(job_calls.epochs(self.id), **options)).data

    async def refresh(self, **options: Unpack[CallOptions]) -> "AsyncJobHandle":
        self.data = await self._connection.send(job_calls.get(self.id), **options)
        return self

    async def wait(
        self, progress: bool | None = None, timeout: float | None = None
    ) -> "AsyncJobHandle":
        await wait_all([self], progress, timeout)
        return self

    async def watch(self) -> AsyncIterator["AsyncJobHandle"]:
        async with contextlib.aclosing(async_watch.follow(self._connection, self.id)) as changes:
            async for job in changes:
                self.data = job
                yield self

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        found = async_watch.listen(self._connection, self.id, after)
        async with contextlib.aclosing(found) as events:
            async for event in events:
                yield event

    async def curves(
        self, format: PictureFormat = "png", **options: Unpack[CallOptions]
    ) -> Picture:
        return await self._connection.send(job_calls.curves(self.id, format), **options)

    @overload
    async def predict(self, image: Image, **options: Unpack[PredictionOptions]) -> Prediction: ...
    @overload
    async def predict(
        self, image: Images, **options: Unpack[PredictionOptions]
    ) -> list[Prediction]: ...
    async def predict(self, image: Any, **options: Unpack[PredictionOptions]) -> Any:
        return await AsyncModels(self._connection).predict(image, self.id, **options)

    async def cancel(self, **options: Unpack[CallOptions]) -> "AsyncJobHandle":
        return await self._act("cancel", options)

    async def pause(self, **options: Unpack[CallOptions]) -> "AsyncJobHandle":
        return await self._act("pause", options)

    async def resume(self, **options: Unpack[CallOptions]) -> "AsyncJobHandle":
        return await self._act("resume", options)

    async def label(
        self,
        name: str | None = None,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        **options: Unpack[CallOptions],
    ) -> "AsyncJobHandle":
        labels = {"name": name, "tags": tags, "metadata": metadata}
        self.data = await self._connection.send(job_calls.label(self.id, labels), **options)
        return self

    async def delete(self, **options: Unpack[CallOptions]) -> None:
        await self._connection.send(job_calls.delete(self.id), **options)

    async def _act(self, action: Action, options: CallOptions) -> "AsyncJobHandle":
        self.data = await self._connection.send(job_calls.act(self.id, action), **options)
        return self


@documented_like(Jobs)
class AsyncJobs:
    """The jobs of a server, reached as `client.jobs`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    async def create(
        self,
        /,
        preset: PresetName | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[SpecFields],
    ) -> AsyncJobHandle:
        call = job_calls.create(preset, {**fields})
        job = await self._connection.send(call, timeout, max_retries)
        return AsyncJobHandle(self._connection, job)

    async def preview(
        self,
        /,
        preset: PresetName | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[SpecFields],
    ) -> JobPreview:
        call = job_calls.preview(preset, {**fields})
        return await self._connection.send(call, timeout, max_retries)

    async def get(self, job_id: str, **options: Unpack[CallOptions]) -> AsyncJobHandle:
        job = await self._connection.send(job_calls.get(job_id), **options)
        return AsyncJobHandle(self._connection, job)

    async def list(
        self,
        state: Sequence[str] | str = (),
        limit: int | None = None,
        *,
        q: str = "",
        tag: Sequence[str] | str = (),
        sort: Sort | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[AsyncJobHandle]:
        calls = job_calls.pages(state, limit, q, tag, sort)
        async for page in self._connection.send_each(calls, **options):
            for job in page.data:
                yield AsyncJobHandle(self._connection, job)

    async def act(
        self,
        action: BulkAction,
        jobs: Sequence[AsyncJobHandle | str],
        **options: Unpack[CallOptions],
    ) -> Sequence[JobActionResult]:
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return (await self._connection.send(job_calls.act_on_all(ids, action), **options)).data


async def wait_all(
    jobs: Sequence[AsyncJobHandle], progress: bool | None = None, timeout: float | None = None
) -> None:
    """Wait until all jobs have ended, and keep their `data` up to date; see `jobs.wait_all`."""
    if not jobs:
        return
    handles = {job.id: job for job in jobs}
    connection = jobs[0]._connection
    with display([job.data for job in handles.values()], progress) as show:

        def update(job: Job) -> None:
            handles[job.id].data = job
            show(job)

        await async_watch.follow_all(connection, list(handles), timeout, update)
    raise_if_unsuccessful(jobs)
