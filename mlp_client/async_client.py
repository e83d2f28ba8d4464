"""The client of one server, for asyncio."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Unpack

import httpx2

from mlp_client import server_calls
from mlp_client.async_connection import AsyncConnection
from mlp_client.async_datasets import AsyncDatasets
from mlp_client.async_evaluation_tasks import AsyncEvaluations
from mlp_client.async_jobs import AsyncJobHandle, AsyncJobs, wait_all
from mlp_client.async_models import AsyncModels
from mlp_client.async_watch import listen_to_all
from mlp_client.calls import CallOptions
from mlp_client.client import Client
from mlp_client.connection_settings import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, settings_of
from mlp_client.documented_like import documented_like
from mlp_client.npy import ByteArray
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.records import EpochColumns
from mlp_client.server_calls import Misfit, Preset, Sample
from mlp_client.service_events import ServiceEvent
from mlp_client.system_record import System


@documented_like(Client)
class AsyncClient:
    """A client of one server, for asyncio: the methods of `Client`, to be awaited.

    Attributes:
        datasets: send and describe data sets.
        evaluations: queue evaluations that are too large for one answer.
        jobs: submit, find and list jobs.
        models: predict with trained networks, and download their weights.

    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx2.AsyncBaseTransport | None = None,
        api_key: str | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        """Create a client; nothing is sent yet. The arguments are those of `Client`."""
        settings = settings_of(base_url, timeout, max_retries, api_key)
        self._connection = AsyncConnection(settings, transport)
        self.datasets = AsyncDatasets(self._connection)
        self.evaluations = AsyncEvaluations(self._connection)
        self.jobs = AsyncJobs(self._connection)
        self.models = AsyncModels(self._connection)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    @property
    def base_url(self) -> str:
        """Address of the server, without a slash at the end."""
        return self._connection.base_url

    async def system(self, **options: Unpack[CallOptions]) -> System:
        return await self._connection.send(server_calls.system(), **options)

    async def events(self, after: int | None = None) -> AsyncIterator[ServiceEvent]:
        async with aclosing(listen_to_all(self._connection, after)) as found:
            async for event in found:
                yield event

    async def presets(self, **options: Unpack[CallOptions]) -> list[Preset]:
        return (await self._connection.send(server_calls.presets(), **options)).data

    async def curves(
        self,
        jobs: Sequence[AsyncJobHandle | str],
        format: PictureFormat = "png",
        **options: Unpack[CallOptions],
    ) -> Picture:
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return await self._connection.send(server_calls.curves(ids, format), **options)

    async def epochs(
        self,
        jobs: Sequence[AsyncJobHandle | str],
        after: int = 0,
        points: int = 1000,
        **options: Unpack[CallOptions],
    ) -> dict[str, EpochColumns]:
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return (
            await self._connection.send(server_calls.epochs(ids, after, points), **options)
        ).data

    async def wait_all(
        self,
        jobs: Sequence[AsyncJobHandle],
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        await wait_all(jobs, progress, timeout)

    async def sample(
        self,
        index: int,
        dataset: str = "mnist",
        split: str = "test",
        **options: Unpack[CallOptions],
    ) -> Sample:
        return await self._connection.send(server_calls.sample(dataset, split, index), **options)

    async def samples(
        self,
        indices: Iterable[int] | None = None,
        label: int | None = None,
        limit: int = 50,
        offset: int = 0,
        dataset: str = "mnist",
        split: str = "test",
        **options: Unpack[CallOptions],
    ) -> ByteArray:
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        return await self._connection.send(server_calls.samples(dataset, split, chosen), **options)

    async def labels(
        self, dataset: str = "mnist", split: str = "test", **options: Unpack[CallOptions]
    ) -> ByteArray:
        return await self._connection.send(server_calls.labels(dataset, split), **options)

    async def contact_sheet(
        self,
        dataset: str = "mnist",
        split: str | None = None,
        limit: int = 100,
        offset: int = 0,
        label: int | None = None,
        indices: Iterable[int] | None = None,
        misfit: Misfit | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        call = server_calls.contact_sheet(dataset, split, chosen, misfit)
        return await self._connection.send(call, **options)
