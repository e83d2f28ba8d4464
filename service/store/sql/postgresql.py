"""PostgreSQL as a database engine: addresses, settings of connections, locks and errors.

A worker imports this file, so it must not import SQLAlchemy. The driver is psycopg2, which a
worker imports in a tenth of the time that psycopg 3 takes.
"""

import functools
import re
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    TRANSACTION_STATUS_IDLE,
    QuotedString,
    make_dsn,
    new_type,
    parse_dsn,
    register_adapter,
    register_type,
)

from service.domain.errors import Deadlocked, StoreBroken, StoreFull
from service.store.sql.transaction import Statement, Transaction

if TYPE_CHECKING:
    from service.store.sql.postgresql_lookups import PostgreSQLLookups

EXAMPLE = "postgresql://mlp@db.example/mlp"

CONNECT_SECONDS = 5
LOOKUP_PATIENCE_SECONDS = 1.0
"""How long a look-up waits for a lock, of which there are none but while tables are altered."""

CONNECTING = {
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "mlp-service",
}
"""What the client does about a server that is out of reach; a URL may say otherwise."""
SESSION = {
    "timezone": "UTC",
    "lock_timeout": "{patience}ms",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
"""What the server does about a client that is out of reach, or frozen inside a transaction."""

OLDEST = 140000
"""The first version that is tested, as the server tells it."""
DISK_FULL = "53100"
DEADLOCK = "40P01"
NO_LOCK = "55P03"
SPOILT = ("25006", "25P03")
"""The server has become a standby, or has ended the session because it was idle."""
SPOILT_CLASSES = ("08", "57")
"""The connection failed, or an operator intervened."""

# The server sums whole numbers as NUMERIC, which the driver would return as Decimal.
WHOLE = new_type((1700,), "WHOLE", lambda text, _: None if text is None else int(text))

NOWHERE = "\uffff"
"""A character of no text: Unicode reserves it, and clients may not send it in what is stored."""


def _quoted(text: str) -> QuotedString:
    """Return a text as the driver takes it, which refuses NUL.

    No text that is stored holds NUL, but requests may ask for one: there is no job of that name.
    """
    return QuotedString(text.replace("\0", NOWHERE))


register_adapter(str, _quoted)

VERSION = "SELECT current_setting('server_version_num') AS version, pg_is_in_recovery() AS standby"
IS_THERE = "SELECT to_regclass('alembic_version') IS NOT NULL"
SERIALIZE = "SELECT pg_advisory_xact_lock(hashtextextended(%(what)s, 0))"
TAKE_ANY_TIME = "SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
LAST_NUMBER = """
SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:table, :column) AS regclass)) AS number
"""
CONTINUE_AFTER = "SELECT setval(pg_get_serial_sequence(:table, :column), :number)"
NOTIFY = "SELECT pg_notify(:channel, :kind)"
ADDRESS = re.compile("(connection to server|could not translate host name).* (failed|address): ")
"""What the driver's library says of the server before the reason for which it is out of reach."""
CHANNEL = "mlp"
"""On which dispatchers are woken; what is sent is the kind of work."""
ORDER = "order"
"""What transactions serialize that take a place in an order of all."""


class PostgreSQL:
    """The PostgreSQL database at a URL; implements `engine.Engine`."""

    error: type[Exception] = psycopg2.Error
    file: Path | None = None
    dialect = "postgresql+psycopg2://"

    def __init__(self, url: str) -> None:
        """Take the URL apart; nothing is opened.

        Raises:
            StoreBroken: it can't be read. The error does not show it, because it may contain a
                password.

        """
        self._given = _parsed(url)

    def exists(self) -> bool:
        try:
            connection = self.connect(5, read_only=True)
            try:
                cursor = connection.cursor()
                cursor.execute(IS_THERE)
                return bool(cursor.fetchall()[0][0])
            finally:
                connection.close()
        except psycopg2.Error as exc:
            raise self.failure(exc) from exc

    def connect(self, patience: float, *, read_only: bool = False, altering: bool = False) -> Any:
        connection = psycopg2.connect(self._address(patience))
        connection.autocommit = True  # the driver must not begin transactions by itself
        register_type(WHOLE, connection)
        return connection

    def connect_for_loop(self) -> Any:
        """Return a new connection that an event loop can use; this call itself waits.

        Raises:
            psycopg2.Error: there is none within five seconds.

        """
        connection = psycopg2.connect(self._address(LOOKUP_PATIENCE_SECONDS), async_=True)
        deadline = time.monotonic() + CONNECT_SECONDS
        while (state := connection.poll()) != POLL_OK:
            waiting = select.poll()  # `select.select` can't wait for files with high numbers
            waiting.register(connection, select.POLLIN if state == POLL_READ else select.POLLOUT)
            if not waiting.poll(max(0, 1000 * (deadline - time.monotonic()))):
                connection.close()
                raise psycopg2.OperationalError("the server does not answer")
        return connection

    def has_ended(self, connection: Any) -> bool:
        if connection.closed:
            return True
        # Nothing comes unasked but the end, or a notice of it.
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        return bool(waiting.poll(0))

    def lookups(self) -> "PostgreSQLLookups":
        from service.store.sql.postgresql_lookups import PostgreSQLLookups

        return PostgreSQLLookups(self)

    def _address(self, patience: float) -> str:
        """Return the address with the settings of connections, as the driver's library takes it."""
        values = {
            name: value.format(patience=max(1, int(1000 * patience)))
            for name, value in SESSION.items()
        }
        ours = " ".join(f"-c {name}={value}" for name, value in values.items())
        # A user's options come last, and win.
        options = f"{ours} {self._given.get('options', '')}".strip()
        return str(make_dsn(**CONNECTING | self._given | {"options": options}))

    def begin(self, *, write: bool) -> str:
        return "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def translate(self, statement: str) -> str:
        return _in_pyformat(statement)

    def serialize(self, cursor: Any, what: str) -> None:
        cursor.execute(SERIALIZE, {"what": what})

    def take_any_time(self, cursor: Any) -> None:
        cursor.execute(TAKE_ANY_TIME)

    def commit(self, cursor: Any, last: Sequence[Statement]) -> None:
        if not last:
            cursor.execute("COMMIT")
            return
        # One message: a process that is frozen or cut off can't hold the lock of the order, for
        # the server has all that is to be done under it.
        parts = [cursor.mogrify(SERIALIZE, {"what": ORDER})]
        parts += [cursor.mogrify(self.translate(text), values) for text, values in last]
        cursor.execute(b"; ".join([*parts, b"COMMIT"]))

    def roll_back(self, connection: Any) -> None:
        if not connection.closed and connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            connection.cursor().execute("ROLLBACK")

    def notify(self, kind: str) -> Statement:
        return NOTIFY, {"channel": CHANNEL, "kind": kind}

    def is_busy(self, exc: BaseException) -> bool:
        return _code(exc) == NO_LOCK

    def is_spoilt(self, exc: BaseException) -> bool:
        code = _code(exc)
        return code is None or code in SPOILT or code[:2] in SPOILT_CLASSES

    def failure(self, exc: BaseException | None) -> StoreBroken:
        what = next(iter(str(exc).strip().splitlines()), type(exc).__name__)
        what = ADDRESS.sub("the server can't be reached: ", what)  # clients read this
        kinds = {DISK_FULL: StoreFull, DEADLOCK: Deadlocked}
        kind = StoreBroken if exc is None else kinds.get(_code(exc) or "", StoreBroken)
        return kind(f"the database failed: {what}")

    def check(self, transaction: Transaction) -> None:
        found = transaction.row(VERSION) or {}
        if int(found["version"]) < OLDEST:
            raise StoreBroken(
                f"the service needs PostgreSQL {OLDEST // 10000} or newer, and the server of "
                f"MLP_DATABASE_URL is older ({int(found['version']) // 10000})"
            )
        if found["standby"]:
            raise StoreBroken(
                "the server of MLP_DATABASE_URL is a standby, which can't be written to; name all "
                "servers, as in postgresql://a,b/mlp?target_session_attrs=read-write"
            )

    def check_references(self, transaction: Transaction) -> None:
        """Do nothing: the server enforces references while tables are altered too."""

    def last_number(self, transaction: Transaction, table: str, column: str) -> int:
        found = transaction.row(LAST_NUMBER, table=table, column=column) or {}
        return int(found["number"] or 0)

    def continue_after(
        self, transaction: Transaction, table: str, column: str, number: int
    ) -> None:
        transaction.rows(CONTINUE_AFTER, table=table, column=column, number=number)

    def copy_to(self, path: Path) -> None:
        """Fail: there is no file; `copying.copy_rows` copies the rows."""
        raise NotImplementedError


def _parsed(url: str) -> dict[str, str]:
    # SQLAlchemy's form, which names the driver, is accepted too.
    address = re.sub(r"^postgres(ql)?(\+psycopg2?)?://", "postgresql://", url)
    try:
        if not address.startswith("postgresql://"):
            raise psycopg2.ProgrammingError("it names another driver")
        return {name: str(value) for name, value in parse_dsn(address).items()}
    except psycopg2.Error:
        raise StoreBroken(
            f"MLP_DATABASE_URL can't be read as an address of PostgreSQL; use a URL such as "
            f"{EXAMPLE}"
        ) from None


@functools.lru_cache(1024)
def _in_pyformat(statement: str) -> str:
    """Return a statement with its parameters as the driver takes them."""
    return re.sub(r":(\w+)", r"%(\1)s", statement)


def _code(exc: BaseException) -> str | None:
    """Return the server's code for an error (SQLSTATE); None if the connection itself failed."""
    code: str | None = getattr(exc, "pgcode", None)
    return code
