"""Look-ups of single values in PostgreSQL, on the event loop and without a thread.

The loop never waits for the server. If a value does not come soon, the caller goes the long way.
"""

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE

if TYPE_CHECKING:
    from service.store.sql.postgresql import PostgreSQL

PATIENCE_SECONDS = 0.05
"""How long a look-up may take, from the moment at which it is asked for."""
RECONNECT_SECONDS = 1.0
"""The shortest time between two tries to connect."""
SILENT_SECONDS = 10.0
"""A connection that has not answered for so long is given up."""
MOST_TOGETHER = 32
"""The most look-ups in one statement."""


@dataclass(slots=True)
class Lookup:
    """A value that somebody waits for."""

    statement: str
    values: dict[str, Any]
    answer: asyncio.Future[Any]

    def resolve(self, value: Any) -> None:
        """Hand the value over, unless the time is over."""
        if not self.answer.done():
            self.answer.set_result(value)


class PostgreSQLLookups:
    """One connection that the event loop reads, with at most one statement under way.

    What is asked for meanwhile becomes the next statement. While the server is silent, look-ups
    find nothing at once. Connections are opened in a thread, because to find the address of a
    server may block.
    """

    def __init__(self, engine: "PostgreSQL") -> None:
        """Create it; the first look-up connects."""
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._cursor: Any = None
        self._file = -1
        """The number of the connection's socket; a broken connection no longer tells it."""
        self._next_try = 0.0
        self._waiting: list[Lookup] = []
        self._asked: list[Lookup] = []
        self._asked_at = 0.0

    async def value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return the one value that a statement selects; None without one, or if it takes long."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self.close()
            self._loop, self._next_try = loop, 0.0
        if not self._is_ready(loop):
            return None
        lookup = Lookup(statement, values, loop.create_future())
        timer = loop.call_later(PATIENCE_SECONDS, lookup.resolve, None)
        self._waiting.append(lookup)
        if not self._asked:
            self._ask(loop)
        try:
            return await lookup.answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection; what is under way finds nothing, and a further look-up connects.

        It may be called on the loop, and by any thread once the loop has ended.
        """
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._file)
                self._loop.remove_writer(self._file)
            with suppress(psycopg2.Error):
                connection.close()
        lost, self._asked, self._waiting = [*self._asked, *self._waiting], [], []
        for lookup in lost:
            lookup.resolve(None)

    def _is_ready(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether an answer may come soon; see to it that one may come later."""
        now = loop.time()
        if self._asked and now > self._asked_at + SILENT_SECONDS:
            self.close()
        if self._connection is not None:
            return not self._asked or now < self._asked_at + PATIENCE_SECONDS
        if now >= self._next_try:
            self._next_try = now + RECONNECT_SECONDS
            threading.Thread(target=self._connect, args=(loop,), daemon=True).start()
        return False

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            connection = self._engine.connect_for_loop()
        except psycopg2.Error:
            return
        try:
            loop.call_soon_threadsafe(self._use, loop, connection)
        except RuntimeError:  # the loop has ended meanwhile
            connection.close()

    def _use(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        if loop is not self._loop or self._connection is not None:
            connection.close()
            return
        self._connection, self._cursor = connection, connection.cursor()
        self._file = connection.fileno()
        loop.add_reader(self._file, self._advance, loop)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send the look-ups that wait, as the columns of one row."""
        wanted = [lookup for lookup in self._waiting if not lookup.answer.done()]
        self._asked, self._waiting = wanted[:MOST_TOGETHER], wanted[MOST_TOGETHER:]
        if not self._asked:
            return
        self._asked_at = loop.time()
        translate, write = self._engine.translate, self._cursor.mogrify
        try:
            parts = [write(translate(it.statement), it.values) for it in self._asked]
            self._cursor.execute(b"SELECT (" + b"), (".join(parts) + b")")
        except psycopg2.Error:
            self.close()
        else:
            self._advance(loop)

    def _advance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send and receive what needs no waiting, and hand over what has been answered."""
        try:
            state = self._connection.poll()
            if state == POLL_WRITE:
                loop.add_writer(self._file, self._advance, loop)
                return
            loop.remove_writer(self._file)
            if state != POLL_OK:
                return
            found = self._cursor.fetchone() if self._asked else ()
        except psycopg2.Error:
            self.close()
            return
        for lookup, value in zip(self._asked, found, strict=True):
            lookup.resolve(value)
        self._asked = []
        if self._waiting:
            self._ask(loop)
