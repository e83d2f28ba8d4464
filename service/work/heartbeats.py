"""Heartbeats from a thread of its own, while a worker waits for something that takes long."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from service.domain.errors import Replaced, StoreBroken

HEARTBEAT_SECONDS = 1.0

Waiting = Callable[[Callable[[], object]], AbstractContextManager[None]]
"""What a worker wraps around waiting for a bucket: `heartbeats`, or nothing without a bucket."""


def no_heartbeats(_: Callable[[], object]) -> AbstractContextManager[None]:
    """Give none: files of this machine are there at once."""
    return nullcontext()


def waiting_for(shared_url: str | None) -> Waiting:
    """Return what a worker does while it waits for files that all hosts share, if there are any."""
    return heartbeats if shared_url else no_heartbeats


logger = logging.getLogger("service.worker")


@contextmanager
def heartbeats(give: Callable[[], object], seconds: float = HEARTBEAT_SECONDS) -> Iterator[None]:
    """Call `give` every `seconds` until the block ends, or the row belongs to somebody else.

    Without heartbeats the dispatcher would take the row away. A store that fails may work again.
    """
    is_done = threading.Event()

    def run() -> None:
        while not is_done.wait(seconds):
            try:
                give()
            except Replaced:
                return
            except StoreBroken as exc:
                logger.warning("no heartbeat: %s", exc)

    thread = threading.Thread(target=run, name="heartbeats", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
