"""The queue of a listener, who may be too slow for it."""

import asyncio
from typing import TypeVar

Item = TypeVar("Item")


def put_or_end(queue: asyncio.Queue[Item | None], item: Item | None) -> None:
    """Queue an item for a listener; None, or an item for a full queue, ends its stream."""
    if queue.full():
        end_now(queue)
    else:
        queue.put_nowait(item)


def end_now(queue: asyncio.Queue[Item | None]) -> None:
    """End the stream of a listener, who does not get what is queued."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
