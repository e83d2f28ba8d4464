"""Follow jobs until they end, with asyncio; see `watch`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

import httpx2

from mlp_client import dataset_calls, job_calls, job_changes, service_events
from mlp_client.async_connection import AsyncConnection
from mlp_client.dataset_records import DatasetRecord
from mlp_client.errors import WaitTimeout
from mlp_client.job_changes import NO_MORE_EVENTS, STREAM_TIMEOUT_SECONDS
from mlp_client.job_state import FINAL
from mlp_client.records import Event, Job
from mlp_client.service_events import SILENCE_SECONDS, ServiceEvent


async def follow(connection: AsyncConnection, job_id: str) -> AsyncGenerator[Job]:
    """Yield the job after each change, the last time in its final state; see `watch.follow`."""
    path, last = f"{job_calls.path_of(job_id)}/events", ""
    job = await connection.send(job_calls.poll(job_id))
    yield job
    while job.state not in FINAL:
        with contextlib.suppress(httpx2.TransportError, ValueError):
            async with connection.events(path, last, STREAM_TIMEOUT_SECONDS) as events:
                async for event in events:
                    last = event.id or last
                    if event.event == "state":
                        job = await connection.send(job_calls.poll(job_id))
                    else:
                        job = job_changes.updated(job, event)
                    yield job
                    if job.state in FINAL:
                        return
        await asyncio.sleep(job_changes.POLL_SECONDS)
        job = await connection.send(job_calls.poll(job_id))
        yield job


async def listen(connection: AsyncConnection, job_id: str, after: int) -> AsyncGenerator[Event]:
    """Yield the events of a job after the one with this number; see `watch.listen`."""
    path, last = f"{job_calls.path_of(job_id)}/events", str(after)
    while True:
        with contextlib.suppress(httpx2.TransportError, ValueError):
            async with connection.events(path, last, STREAM_TIMEOUT_SECONDS) as messages:
                if messages.response.status_code == NO_MORE_EVENTS:
                    return
                async for message in messages:
                    if event := job_changes.numbered(message, last):
                        last = message.id
                        yield event
        await connection.send(job_calls.poll(job_id))
        await asyncio.sleep(job_changes.POLL_SECONDS)


async def listen_to_all(
    connection: AsyncConnection, after: int | None
) -> AsyncGenerator[ServiceEvent]:
    """Yield what happens to all jobs, without an end; see `watch.listen_to_all`."""
    last = "" if after is None else str(after)
    while True:
        with contextlib.suppress(httpx2.TransportError, ValueError):
            async with connection.events(service_events.PATH, last, SILENCE_SECONDS) as messages:
                async for message in messages:
                    event = service_events.service_event(message)
                    last = str(event.cursor)
                    if event.type != service_events.PING:
                        yield event
        await connection.send(service_events.check_access())
        await asyncio.sleep(job_changes.POLL_SECONDS)


async def listen_to_set(connection: AsyncConnection, name: str) -> AsyncGenerator[DatasetRecord]:
    """Yield a data set as it is now and after each change; see `watch.listen_to_set`."""
    path = f"{dataset_calls.path_of(name)}/events"
    last: DatasetRecord | None = None
    while True:
        with contextlib.suppress(httpx2.TransportError, ValueError):
            async with connection.events(path, "", STREAM_TIMEOUT_SECONDS) as messages:
                async for message in messages:
                    if (data := dataset_calls.changed(message, last)) is not None:
                        yield (last := data)
        if last is not None and last.state in dataset_calls.RESTING:
            return
        looked = await connection.send(dataset_calls.look(name))
        if looked != last:
            yield (last := looked)


async def follow_all(
    connection: AsyncConnection,
    job_ids: Sequence[str],
    timeout: float | None,
    update: Callable[[Job], None],
) -> None:
    """Follow several jobs until all have ended, and call `update` after each change.

    Raises:
        WaitTimeout: the time is over.
        NotFoundError, ConnectionFailed: as for `watch.follow`.

    """
    pending = dict.fromkeys(job_ids)

    async def forward(job_id: str) -> None:
        async with contextlib.aclosing(follow(connection, job_id)) as changes:
            async for job in changes:
                update(job)
        del pending[job_id]

    tasks = [asyncio.create_task(forward(job_id)) for job_id in pending]
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(*tasks)
    except TimeoutError:
        raise WaitTimeout(list(pending), timeout or 0) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
