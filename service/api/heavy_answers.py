"""Answers that take much time or memory: where they are computed, and how large they may be."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from anyio import CapacityLimiter
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

MAX_PIXELS = 16_000_000
T = TypeVar("T")


class LimitedPool:
    """A few threads of its own, for answers that take much time or memory.

    The framework's threads stay free meanwhile. The C library keeps freed memory for each thread
    separately, so few threads also keep little of it.
    """

    def __init__(self, threads: int) -> None:
        self._places = CapacityLimiter(threads)
        self._threads = ThreadPoolExecutor(threads)

    async def run(self, request: Request, function: Callable[[], T]) -> T:
        """Call `function` in one of the threads as soon as one is free, and return its result.

        A waiting request holds only its connection, and the number of connections is limited.

        Raises:
            ClientDisconnect: the client has left, so the function was not called.

        """
        async with self._places:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)


HEAVY_POOL = LimitedPool(2)


def check_size(tiles: int, tile: int) -> None:
    """Refuse a picture with so many pixels that it would take too much memory and time."""
    if tiles * tile**2 > MAX_PIXELS:
        raise HTTPException(
            422,
            f"{tiles} tiles of {tile}x{tile} pixels are too many for one picture, which may have "
            f"{MAX_PIXELS:,}; draw fewer or smaller ones.",
        )
