"""Dry runs that a killed server has left, where another host may have checked them."""

from contextlib import closing

import pytest

from service.store.dataset_files import DatasetFiles
from service.store.dataset_queue import DatasetQueue, dry_runs_of
from service.store.datasets import DatasetStore
from service.store.hosts import HostStore
from service.store.sql.database import Database

HOSTS = ("a" * 16, "b" * 16)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


def left_by(database: Database, files: DatasetFiles, host: str) -> str:
    """Have a server receive a dry run, and every host's dispatcher look for work."""
    store = DatasetStore(database, files, host=host)
    name = dry_runs_of(store.host) + "0" * 32
    row = store.receive(name, {}, 3)
    store.received(row.id, ["a"], "5" * 64, 3)
    return name


def names(database: Database, files: DatasetFiles) -> set[str]:
    return {found.name for found in DatasetStore(database, files).sets()}


def test_a_server_that_starts_deletes_its_own_whoever_has_checked_them(
    database: Database, dataset_files: DatasetFiles
) -> None:
    one, other = (left_by(database, dataset_files, host) for host in HOSTS)
    for host in reversed(HOSTS):  # the other one's dispatcher takes the first one's
        assert DatasetQueue(database, host).claim()
    DatasetQueue(database, HOSTS[1]).delete_dry_runs()
    assert names(database, dataset_files) >= {one}
    assert other not in names(database, dataset_files)
    DatasetQueue(database, HOSTS[0]).delete_dry_runs()
    assert one not in names(database, dataset_files)


def test_the_leader_deletes_those_of_a_server_that_does_not_come_back(
    database: Database, dataset_files: DatasetFiles
) -> None:
    HostStore(database).join(HOSTS[0], "one", 0, 1, "1")
    one, lost = (left_by(database, dataset_files, host) for host in HOSTS)
    with closing(Database(database.url)) as elsewhere:
        DatasetQueue(elsewhere, HOSTS[0]).interrupt_lost()
    assert one in names(database, dataset_files)
    assert lost not in names(database, dataset_files)
