"""Data sets as clients read them: list, describe and open them by name."""

from functools import lru_cache
from typing import Any

from mlp_core import Dataset
from service.domain.dataset_quota import DatasetUsage
from service.domain.errors import DamagedNotReady, DatasetNotFound, DatasetNotReady
from service.store.damaged_datasets import REASON
from service.store.dataset_files import DatasetFiles
from service.store.dataset_rows import DATASETS, usage_of
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.stored_dataset import (
    DATASET_COLUMNS,
    MNIST,
    SHIPPED_MNIST,
    DatasetInfo,
    StoredDataset,
    stored_dataset,
)

SHIPPED = {MNIST.name: SHIPPED_MNIST}

# `{own}` is the place where a statement is narrowed to the data sets of one owner. Who sees all
# finds the own one first, for a name is unique only within its owner.
FIND = f"""
SELECT {DATASET_COLUMNS} FROM datasets WHERE name = :name{{own}}
ORDER BY CASE WHEN owner = :owner THEN 0 ELSE 1 END, number LIMIT 1
"""  # noqa: S608  names of our own
FIND_ID = f"SELECT {DATASET_COLUMNS} FROM datasets WHERE id = :id{{own}}"  # noqa: S608
LIST = f"SELECT {DATASET_COLUMNS} FROM datasets WHERE number > 0{{own}} ORDER BY number"  # noqa: S608
NAMES = "SELECT name FROM datasets WHERE number > 0{own} ORDER BY name"
READY = """
SELECT number FROM datasets WHERE name = :name AND sha256 = :sha256 AND state = 'ready'{own}
"""
REPORTS = "SELECT id, report FROM datasets WHERE report IS NOT NULL{own}"
REPORT = "SELECT report FROM datasets WHERE id = :id"


@lru_cache
def _narrowed(statement: str, everything: bool) -> str:
    return statement.replace("{own}", "" if everything else " AND owner = :owner")


class DatasetView:
    """The data sets that a client sees: all, or those of one owner.

    Shipped ones are everybody's, and need no row.
    """

    def __init__(
        self,
        connector: Connector,
        files: DatasetFiles,
        owner: str | None = None,
        *,
        everything: bool = True,
    ) -> None:
        """Create it.

        Args:
            connector: the database.
            files: of the data sets.
            owner: whose data sets may be seen.
            everything: whether those of all others may be seen, too.

        """
        self._connector, self.files = connector, files
        self._owner, self._everything = owner or "", everything

    @property
    def owner(self) -> str:
        """The owner of what is sent through this view; empty without keys."""
        return self._owner

    def sets(self) -> list[StoredDataset]:
        """Return all data sets, whatever their states: shipped ones, then in their order."""
        with self._connector.read() as transaction:
            found = self._rows(transaction, LIST)
        return [*SHIPPED.values(), *map(stored_dataset, found)]

    def all(self) -> list[DatasetInfo]:
        """Return the descriptions of all data sets that can be used."""
        return [info for found in self.sets() if (info := found.info)]

    def get(self, ref: str) -> StoredDataset:
        """Return the data set of a name, or of `name@sha256:…` if its content is that.

        Raises:
            DatasetNotFound: there is no such data set.

        """
        name, at, digest = ref.partition("@")
        found = SHIPPED.get(name) or self._find(name)
        if found is None or (at and digest != f"sha256:{found.sha256}"):
            raise DatasetNotFound(ref, self._names())
        return found

    def with_id(self, id_: str) -> StoredDataset:
        """Return the data set with an id, `ds_…`.

        Raises:
            DatasetNotFound: there is no such data set, or not any more.

        """
        with self._connector.read() as transaction:
            found = self._identified(transaction, id_)
        if not found:
            raise DatasetNotFound(id_, self._names())
        return stored_dataset(found[0])

    def describe(self, ref: str) -> DatasetInfo:
        """Return the description of a data set by its name, or by `name@sha256:…`.

        Raises:
            DatasetNotFound: there is no such data set.
            DatasetNotReady: it has not been checked, or has failed.

        """
        found = self.get(ref)
        if found.info is None:
            if found.reason is not None and found.reason.code == REASON["code"]:
                raise DamagedNotReady(found.name, found.state, REASON["message"])
            raise DatasetNotReady(found.name, found.state)
        return found.info

    def open(self, ref: str) -> Dataset:
        """Return a data set by its name, or by `name@sha256:…`, memory-mapped.

        Raises:
            DatasetNotFound: there is no such data set.
            DatasetDamaged: its files are damaged.
            DatasetNotReady: it has not been checked, or has failed.
            StoreBroken: its files can't be read or written.

        """
        return self.files.open(self.describe(ref).sha256)

    def usage(self) -> DatasetUsage:
        """Return what the owner of this view has of its quota."""
        with self._connector.read() as transaction:
            return usage_of(transaction, self._owner)

    def report(self, name: str) -> dict[str, Any] | None:
        """Return what was found in a data set; None if it has not been checked, or was shipped.

        Raises:
            DatasetNotFound: there is no such data set.

        """
        return self.report_of(self.get(name).id)

    def report_of(self, id_: str) -> dict[str, Any] | None:
        """Return what was found in the data set with an id, which this view has; see `report`."""
        with self._connector.read() as transaction:
            row = transaction.row(REPORT, id=id_)
        return row["report"] if row else None

    def warning_counts(self) -> dict[str, int]:
        """Return how many doubts the report of each data set lists, by id."""
        with self._connector.read() as transaction:
            found = self._rows(transaction, REPORTS)
        return {row["id"]: len(row["report"].get("warnings", ())) for row in found}

    def _find(self, name: str) -> StoredDataset | None:
        with self._connector.read() as transaction:
            found = self._named(transaction, name)
        return stored_dataset(found[0]) if found else None

    def _named(self, transaction: Transaction, name: str) -> list[Row]:
        return self._rows(transaction, FIND, name=name)

    def _identified(self, transaction: Transaction, id_: str) -> list[Row]:
        return self._rows(transaction, FIND_ID, id=id_)

    def _names(self) -> list[str]:
        with self._connector.read() as transaction:
            return self._known(transaction)

    def _known(self, transaction: Transaction) -> list[str]:
        return [*SHIPPED, *(row["name"] for row in self._rows(transaction, NAMES))]

    def _rows(self, transaction: Transaction, statement: str, **values: object) -> list[Row]:
        """Execute a statement about data sets, narrowed to those in this view."""
        statement = _narrowed(statement, self._everything)
        return transaction.rows(statement, owner=self._owner, **values)


def check_ready(
    transaction: Transaction, owner: str | None, ref: str, sha256: str, *, everything: bool
) -> None:
    """Check within a transaction that a data set can be used until the transaction ends.

    Raises:
        DatasetNotFound: it has been deleted since it was described.

    """
    name = ref.partition("@")[0]
    if name in SHIPPED:
        return
    transaction.serialize(DATASETS)
    values = {"name": name, "sha256": sha256, "owner": owner or ""}
    if not transaction.rows(_narrowed(READY, everything), **values):
        known = transaction.rows(_narrowed(NAMES, everything), owner=owner or "")
        raise DatasetNotFound(ref, [*SHIPPED, *(row["name"] for row in known)])
