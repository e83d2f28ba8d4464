"""Temperatures that are kept for networks, and which of them serve."""

import pytest

from service.store.sql.database import Database
from service.store.temperatures import Temperature, Temperatures
from tests.support.job_records import started

NETWORK = "a" * 64


def test_that_of_the_validation_set_comes_before_that_of_the_test_set(database: Database) -> None:
    job, kept = started(database).job, Temperatures(database)
    tested = Temperature(1.5, "test", "even rows", 5000)
    validated = Temperature(2.5, "validation", "validation", 100)
    kept.keep(job, NETWORK, tested)
    assert kept.find(job, NETWORK) == tested
    kept.keep(job, NETWORK, validated)
    assert kept.find(job, NETWORK) == validated
    assert kept.find(job, "b" * 64) is None


@pytest.mark.parametrize(("value", "rows"), [(0.05, 100), (20.0, 100), (1.5, 19)])
def test_one_that_an_earlier_version_has_kept_and_that_can_not_be_trusted_is_passed_over(
    database: Database, value: float, rows: int
) -> None:
    job, kept = started(database).job, Temperatures(database)
    kept.keep(job, NETWORK, Temperature(value, "validation", "validation", rows))
    assert kept.find(job, NETWORK) is None
    sound = Temperature(1.5, "test", "even rows", 5000)
    kept.keep(job, NETWORK, sound)
    assert kept.find(job, NETWORK) == sound
