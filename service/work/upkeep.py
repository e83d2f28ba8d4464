"""What a host does for itself from time to time, in a thread of its own."""

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from service.domain.errors import StoreBroken

JOIN_SECONDS = 5.0
"""The process may end while a database does not answer."""

logger = structlog.get_logger(__name__)


class Upkeep:
    """Calls functions, each after its own number of seconds."""

    def __init__(self, tasks: Mapping[Callable[[], None], float]) -> None:
        """Create it; nothing happens before `start`, with which each function is called at once."""
        self._due = dict.fromkeys(tasks, 0.0)
        self._every = tasks
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        """Wait a moment until the last call has returned, after `stop`."""
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            for task in self._every:
                if time.monotonic() >= self._due[task]:
                    self._due[task] = time.monotonic() + self._every[task]
                    self._call(task)
            self._stopped.wait(max(0.0, min(self._due.values()) - time.monotonic()))

    def _call(self, task: Callable[[], None]) -> None:
        try:
            task()
        except (StoreBroken, OSError) as exc:  # the next time may succeed
            logger.warning("upkeep_failed", error=str(exc))
