"""Leadership: of all processes that share a database, at most one leads at a time."""

import threading
import time
from typing import Any, Protocol

from service.store.sql.engine import Engine

CHECK_SECONDS = 4.0
"""How often a process asks whether it leads, at most: an idle host does so every five seconds."""
SILENT_SECONDS = 10
"""The leader's session ends if it has been silent for so long, and another process leads after at
most fifteen seconds."""

LEAD = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
EVERYTHING = "leader"
FLEET = "fleet"
"""Of the processes that have a fleet: a host may lead in everything else, but has none."""


class Leadership(Protocol):
    """Says whether this process leads."""

    def is_held(self) -> bool:
        """Return whether this process leads; if nobody does, it begins to.

        Raises:
            StoreBroken: the database can't be reached.

        """
        ...

    def give_up(self) -> None:
        """Let another process lead, for good."""
        ...


def leadership_of(engine: Engine, what: str = EVERYTHING) -> Leadership:
    """Return the leadership in something among the processes that share a database."""
    return SoleLeadership() if engine.file else AdvisoryLeadership(engine, what)


class SoleLeadership:
    """Implements `Leadership` where no other process may use the database."""

    def is_held(self) -> bool:
        return True

    def give_up(self) -> None:
        """Do nothing: nobody else could lead."""


class AdvisoryLeadership:
    """Implements `Leadership` by a lock that ends with its session.

    The server ends the session of a process that is silent, such as a frozen one.
    """

    def __init__(self, engine: Engine, what: str = EVERYTHING) -> None:
        self._engine, self._what = engine, what
        self._session: Any = None
        self._is_held = self._is_over = False
        self._asked_at = -CHECK_SECONDS
        self._lock = threading.Lock()

    def is_held(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if not self._is_over and now >= self._asked_at + CHECK_SECONDS:
                self._asked_at = now
                self._is_held = self._ask()
            return self._is_held

    def give_up(self) -> None:
        with self._lock:
            self._is_over = True
            session, self._session, self._is_held = self._session, None, False
            if session is not None:
                session.close()

    def _ask(self) -> bool:
        try:
            if self._session is None:
                self._session = self._engine.connect(1)
                self._session.cursor().execute(f"SET idle_session_timeout = '{SILENT_SECONDS}s'")
            cursor = self._session.cursor()
            if self._is_held:
                cursor.execute("SELECT TRUE")
            else:
                cursor.execute(LEAD, (self._what,))
            return bool(cursor.fetchone()[0])
        except self._engine.error as exc:
            had_led, self._session, self._is_held = self._is_held, None, False
            if had_led:  # the server has ended the session, so another process may lead
                return False
            raise self._engine.failure(exc) from exc
