"""The bell: notices by which one process wakes the dispatchers of the others."""

import select
import threading
from collections.abc import Callable, Mapping
from contextlib import closing

from service.store.sql.engine import Engine

LISTEN = "LISTEN mlp"
LISTEN_SECONDS = 60.0
"""How often a connection without notices is tried."""
RECONNECT_SECONDS = 1.0


class Bell:
    """Wakes the dispatchers of this process when a row of their kind is queued or changed."""

    def __init__(self, engine: Engine, wake: Mapping[str, Callable[[], None]]) -> None:
        """Create it; `wake` has a function for each kind of work."""
        self._engine, self._wake = engine, wake
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        """Listen in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except self._engine.error:  # dispatchers find what has changed without it, too
                self._stopped.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        with closing(self._engine.connect(5)) as session:
            session.cursor().execute(LISTEN)
            for wake in self._wake.values():  # something may have happened before
                wake()
            waiting = select.poll()  # `select.select` can't wait for files with high numbers
            waiting.register(session, select.POLLIN)
            while not self._stopped.is_set():
                if not waiting.poll(1000 * LISTEN_SECONDS):
                    session.cursor().execute("SELECT TRUE")  # so that a dead server is noticed
                session.poll()
                while session.notifies:
                    self._wake.get(session.notifies.pop(0).payload, _ignore)()


def _ignore() -> None:
    """Do nothing, for a notice of a later version."""
