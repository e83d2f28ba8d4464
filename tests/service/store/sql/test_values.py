"""JSON, times and truth values come back as they were stored, whatever the connector."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, DateTime

from service.store.attempts import SUCCEEDED, Attempt
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.schema import metadata
from service.store.sql.values import BOOLEAN_COLUMNS, JSON_COLUMNS, TIME_COLUMNS, in_list
from tests.support.engines import only_sqlite
from tests.support.job_records import DONE, claimed, epoch, query

COLUMNS = [column for table in metadata.sorted_tables for column in table.columns]
INSERT = """
INSERT INTO events (job, number, type, at, data) VALUES (:job, 99, 'warning', :at, :data)
"""


@pytest.mark.parametrize(
    ("kind", "names"),
    [(JSON, JSON_COLUMNS), (DateTime, TIME_COLUMNS), (Boolean, BOOLEAN_COLUMNS)],
)
def test_a_columns_name_decides_its_type_in_all_tables(kind: type, names: frozenset[str]) -> None:
    assert {column.name for column in COLUMNS if isinstance(column.type, kind)} == names
    assert {isinstance(column.type, kind) for column in COLUMNS if column.name in names} == {True}


@pytest.mark.parametrize("data", [{}, {"a": [1, None, "ä"]}, {"b": {"c": 0.1 + 0.2}}])
def test_json_comes_back(database: Database, data: dict[str, Any]) -> None:
    claimed(database)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as transaction:
        transaction.execute(INSERT, job=1, at=at, data=data)
        [found] = transaction.rows("SELECT at, data FROM events WHERE number = 99")
    assert found == {"at": at, "data": data}
    assert found["at"].tzinfo is UTC


@only_sqlite
def test_times_are_texts_of_one_length_so_that_they_compare(database: Database) -> None:
    claimed(database)
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as transaction:
        transaction.execute(INSERT, job=1, at=at, data={})
    stored = query(database, "SELECT at FROM events WHERE number = 99")
    assert stored == [("2026-01-02 01:04:05.000000",)]


def test_nothing_comes_back_as_none_and_a_truth_value_as_one(database: Database) -> None:
    claimed(database)
    with database.read() as transaction:
        row = transaction.row("SELECT reason, best, finished_at, bit_exact FROM jobs")
        assert transaction.row("SELECT id FROM jobs WHERE number = 9") is None
    assert row == {"reason": None, "best": None, "finished_at": None, "bit_exact": True}
    assert row["bit_exact"] is True


def test_both_connectors_store_the_same(database: Database) -> None:
    attempt, other = claimed(database), claimed(database)
    driver = DriverConnector(database.engine)
    attempt.end(SUCCEEDED, DONE, None, [epoch(1)])
    Attempt(driver, other.job, other.number).end(SUCCEEDED, DONE, None, [epoch(1)])
    driver.close()
    names = "state, reason, spec, cost, latest, best, weights_sha256, bit_exact, event_count"
    one, two = query(database, f"SELECT {names}, finished_at IS NULL FROM jobs")
    assert one == two


def test_a_list_of_values_has_a_parameter_for_each() -> None:
    assert in_list("id", ["a", "b"]) == (":id_0, :id_1", {"id_0": "a", "id_1": "b"})
