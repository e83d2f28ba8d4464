"""Data sets, for asyncio: the methods of `datasets`, with the same arguments and results."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Unpack

from mlp_client import async_watch, dataset_calls, images, server_calls
from mlp_client.async_connection import AsyncConnection
from mlp_client.calls import CallOptions
from mlp_client.dataset_fields import (
    DatasetFields,
    DerivationFields,
    UploadFields,
    arrays_and_options,
)
from mlp_client.dataset_progress import display, show_record, shown
from mlp_client.dataset_records import DatasetRecord, DatasetReport, DatasetState
from mlp_client.dataset_view import DatasetView
from mlp_client.datasets import DatasetHandle, Datasets
from mlp_client.documented_like import documented_like
from mlp_client.errors import DatasetFailed
from mlp_client.images import Image
from mlp_client.model_calls import Split
from mlp_client.npy import ByteArray
from mlp_client.pictures import Picture
from mlp_client.server_calls import Misfit
from mlp_client.uploads import AsyncPieces, Source, opened


@documented_like(DatasetHandle)
class AsyncDatasetHandle(DatasetView):
    """A data set on the server; its methods are those of `DatasetHandle`.

    Attributes:
        data: the data set as the server last described it; `refresh` updates it.

    """

    def __init__(self, connection: AsyncConnection, data: DatasetRecord) -> None:
        super().__init__(data, connection.url)
        self._connection = connection

    async def refresh(self, **options: Unpack[CallOptions]) -> "AsyncDatasetHandle":
        self.data = await self._connection.send(dataset_calls.get(self.name), **options)
        return self

    async def wait(
        self, progress: bool | None = None, timeout: float | None = None
    ) -> "AsyncDatasetHandle":
        looks = self._connection.send_each(dataset_calls.until_resting(self.data, timeout))
        with display(self.name, progress) as show:
            async for self.data in looks:
                show_record(show, self.data)
        if self.state == DatasetState.FAILED:
            raise DatasetFailed(self.data, await self.report())
        return self

    async def events(self) -> AsyncIterator[DatasetRecord]:
        found = async_watch.listen_to_set(self._connection, self.name)
        async with contextlib.aclosing(found) as changes:
            async for data in changes:
                self.data = data
                yield data

    async def report(self, **options: Unpack[CallOptions]) -> DatasetReport:
        return await self._connection.send(dataset_calls.report(self.name), **options)

    async def samples(
        self,
        indices: Iterable[int] | None = None,
        label: int | None = None,
        limit: int = 50,
        offset: int = 0,
        split: Split = "test",
        **options: Unpack[CallOptions],
    ) -> ByteArray:
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        return await self._connection.send(
            server_calls.samples(self.name, split, chosen), **options
        )

    async def labels(self, split: Split = "test", **options: Unpack[CallOptions]) -> ByteArray:
        return await self._connection.send(server_calls.labels(self.name, split), **options)

    async def contact_sheet(
        self,
        split: Split | None = None,
        limit: int = 100,
        offset: int = 0,
        label: int | None = None,
        indices: Iterable[int] | None = None,
        misfit: Misfit | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        call = server_calls.contact_sheet(self.name, split, chosen, misfit)
        return await self._connection.send(call, **options)

    async def delete(self, force: bool = False, **options: Unpack[CallOptions]) -> None:
        await self._connection.send(dataset_calls.delete(self.name, force), **options)


@documented_like(Datasets)
class AsyncDatasets:
    """The data sets of a server, reached as `client.datasets`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    async def create(
        self,
        name: str,
        source: Source | None = None,
        *,
        progress: bool | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[UploadFields],
    ) -> AsyncDatasetHandle:
        arrays, options = arrays_and_options(fields)
        with opened(source, arrays) as files, display(name, progress) as show:
            call = dataset_calls.create(
                name, files, options, lambda body: AsyncPieces(shown(body, show))
            )
            return AsyncDatasetHandle(
                self._connection, await self._connection.send(call, timeout, max_retries)
            )

    async def derive(
        self,
        name: str,
        source: str,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[DerivationFields],
    ) -> AsyncDatasetHandle:
        call = dataset_calls.derive(name, {"dataset": source, **options})
        return AsyncDatasetHandle(
            self._connection, await self._connection.send(call, timeout, max_retries)
        )

    async def add_sample(
        self, name: str, image: Image, label: str, **options: Unpack[CallOptions]
    ) -> AsyncDatasetHandle:
        call = dataset_calls.add_sample(name, images.single(image), label)
        return AsyncDatasetHandle(self._connection, await self._connection.send(call, **options))

    async def delete_sample(self, name: str, number: int, **options: Unpack[CallOptions]) -> None:
        await self._connection.send(dataset_calls.delete_sample(name, number), **options)

    async def freeze(
        self,
        name: str,
        base: str | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[DatasetFields],
    ) -> AsyncDatasetHandle:
        call = dataset_calls.freeze(name, base, options)
        return AsyncDatasetHandle(
            self._connection, await self._connection.send(call, timeout, max_retries)
        )

    async def get(self, name: str, **options: Unpack[CallOptions]) -> AsyncDatasetHandle:
        return AsyncDatasetHandle(
            self._connection, await self._connection.send(dataset_calls.get(name), **options)
        )

    async def list(self, **options: Unpack[CallOptions]) -> Sequence[AsyncDatasetHandle]:
        found = await self._connection.send(dataset_calls.all_sets(), **options)
        return [AsyncDatasetHandle(self._connection, data) for data in found.data]
