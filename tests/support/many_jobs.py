"""A PostgreSQL database with as many jobs as years bring, and the statements that meet them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from service.store.sql.database import Database
from service.store.sql.transaction import Transaction
from service.store.sql.values import encode
from tests.support.job_records import in_state, succeed

OWNERS = 20
COPIED = """
state, reason, attempt, lost_workers, spec, spec_version, cost, batches_per_epoch, epochs_done,
batches_done, latest, best, weights_sha256, bit_exact, environment, heartbeat, handle, event_count,
created_at, started_at, finished_at, search, dataset_sha256, manifest
"""
FINISHED = f"""
INSERT INTO jobs (id, owner, title, finish_number, learned, test_accuracy, best_accuracy, {COPIED})
SELECT 'job_' || md5(n::text), CASE WHEN mod(n, 5) > 0 THEN 'owner-' || mod(n, {OWNERS}) END,
    'title ' || md5(n::text), n + 1000, mod(n, 10) > 1, (mod(n, 9973)) / 10000.0, (mod(n, 9973)) / 10000.0,
    {COPIED.replace("state,", "CASE mod(n, 10) WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE state END,")}
FROM jobs, generate_series(1, %(count)s) AS n WHERE id = %(template)s
"""  # noqa: E501
QUEUED = f"""
INSERT INTO jobs (id, owner, title, {COPIED})
SELECT 'job_q' || md5(n::text), CASE WHEN mod(n, 5) > 0 THEN 'owner-' || mod(n, {OWNERS}) END,
    'title ' || md5(n::text), {COPIED}
FROM jobs, generate_series(1, %(count)s) AS n WHERE id = %(template)s
"""
ROWS_OF_JOBS = (
    """
INSERT INTO events (job, number, type, at, data)
SELECT number, event_count, 'state', created_at, '{"state": "succeeded"}'
FROM jobs WHERE id NOT IN (%(done)s, %(waiting)s)
""",
    """
INSERT INTO epochs SELECT number, 1, 0.5, 0.9, 0.5, 0.9, 2.0
FROM jobs WHERE finish_number > 1000
""",
    """
INSERT INTO checkpoints (job, attempt, epochs_done, batches_done, key, size, sha256)
SELECT number, 1, 1, 0, id || '/1/1-0.safetensors', 1, repeat('0', 64)
FROM jobs WHERE finish_number > 1000 AND state = 'succeeded'
""",
)


def fill(database: Database, finished: int, queued: int) -> None:
    """Add so many jobs, with their events, epochs and checkpoints."""
    done, waiting = succeed(database), in_state(database, "queued")
    with closing(psycopg2.connect(database.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(FINISHED, {"count": finished, "template": done})
        cursor.execute(QUEUED, {"count": queued, "template": waiting})
        for statement in ROWS_OF_JOBS:
            cursor.execute(statement, {"done": done, "waiting": waiting})
        cursor.execute("VACUUM ANALYZE")


@dataclass
class Plan:
    """What the server did for a statement."""

    statement: str
    milliseconds: float
    pages: int
    """Of 8 kB that it read, wherever they were."""
    scanned: set[str] = field(default_factory=set)
    """The tables that it read from their beginning to their end."""
    rows: int = 0
    """The most rows that one step of it met."""


class Statements:
    """The statements that are executed while it records, each once, with its first values."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Any]] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        def noting(method: Callable[..., Any]) -> Callable[..., Any]:
            def note(transaction: Transaction, statement: str, /, **values: Any) -> Any:
                self._seen.setdefault(statement, encode(values))
                return method(transaction, statement, **values)

            return note

        with pytest.MonkeyPatch.context() as patch:
            for name in ("rows", "pieces", "execute", "execute_last"):
                patch.setattr(Transaction, name, noting(getattr(Transaction, name)))
            yield

    def plans(self, database: Database) -> list[Plan]:
        """Execute each again, in a transaction that is rolled back, and return what was done."""
        with closing(psycopg2.connect(database.url)) as connection:
            connection.set_session(autocommit=False)
            return [
                _plan(connection, statement, database.engine.translate(statement), values)
                for statement, values in self._seen.items()
                if not statement.lstrip().startswith("INSERT")  # it would meet its own row
            ]


def _plan(connection: Any, statement: str, translated: str, values: dict[str, Any]) -> Plan:
    cursor = connection.cursor()
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {translated}", values)
    [[found]] = cursor.fetchall()
    connection.rollback()
    [whole] = found
    top = whole["Plan"]
    pages = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    plan = Plan(statement, whole["Execution Time"], pages)
    for node in _nodes(top):
        if node["Node Type"] == "Seq Scan":
            plan.scanned.add(node["Relation Name"])
        met = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        plan.rows = max(plan.rows, int(met * node["Actual Loops"]))
    return plan


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
