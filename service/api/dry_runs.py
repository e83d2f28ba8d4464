"""Dry runs of uploads: a data set that lives until its report has been read."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from mlp_client.dataset_records import DatasetReport
from service.api.dataset_answers import dataset_report
from service.api.dependencies import Services
from service.domain.dataset_state import FINAL
from service.domain.errors import DatasetNotFound
from service.store.dataset_queue import dry_runs_of
from service.store.datasets import DatasetStore

LOOK_SECONDS = 0.2


def new_name(datasets: DatasetStore) -> str:
    """Return a name that no other data set has; lists leave such sets out."""
    return dry_runs_of(datasets.host) + uuid.uuid4().hex


@asynccontextmanager
async def deleted_after(datasets: DatasetStore, name: str) -> AsyncIterator[None]:
    """Delete a data set at the end, whatever happens."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_delete, datasets, name)


async def report_of(services: Services, request: Request, name: str) -> DatasetReport:
    """Return the report about a data set as soon as it has been checked.

    Raises:
        ClientDisconnect: the client has left, or the server stops.

    """
    while True:
        found = await to_thread.run_sync(services.datasets.get, name)
        if found.state in FINAL:
            report = await to_thread.run_sync(services.datasets.report, name)
            return dataset_report(found, report)
        if services.is_stopping() or await request.is_disconnected():
            raise ClientDisconnect
        await asyncio.sleep(LOOK_SECONDS)


def _delete(datasets: DatasetStore, name: str) -> None:
    try:
        datasets.delete(name, force=True)
    except DatasetNotFound:
        return  # it has not even been received
