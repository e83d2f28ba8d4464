"""A connector over the bare driver, with one connection: a worker's, and the quick look-ups'.

SQLAlchemy takes longer to import than everything else that a worker needs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from service.store.sql.connector import Connector
from service.store.sql.engine import Engine

PATIENCE_SECONDS = 30.0
"""Seconds that a transaction waits for locks."""


class DriverConnector(Connector):
    """One connection, opened when it is needed and again after an error; threads take turns."""

    def __init__(
        self, engine: Engine, patience: float = PATIENCE_SECONDS, *, read_only: bool = False
    ) -> None:
        super().__init__(engine)
        self._patience, self._read_only = patience, read_only
        self._open: Any = None
        self._lock = threading.Lock()

    def try_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return the value that a statement selects; None if another thread uses the connection."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            cursor = (self._open or self._opened()).cursor()
            cursor.execute(self.engine.translate(statement), values)
            found = cursor.fetchall()  # to the end, which releases the read lock
            return found[0][0] if found else None
        except self.engine.error as exc:
            if not self.engine.is_busy(exc):
                self._drop()
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._drop()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        with self._lock:
            try:
                yield self._opened()
            except self.engine.error:
                self._drop()  # it may be unusable
                raise

    def _opened(self) -> Any:
        if self._open is None:
            self._open = self.engine.connect(self._patience, read_only=self._read_only)
        return self._open

    def _drop(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            # A connection with cursors is closed only when they are collected; until then its
            # transaction would hold its locks.
            with suppress(self.engine.error):
                connection.rollback()
            with suppress(self.engine.error):
                connection.close()
