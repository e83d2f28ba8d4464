"""Deletion of jobs: the row goes first, and the id is kept until the artifacts are gone as well.

So a process may die in between, and no other folder is ever deleted: only the ids of jobs that were
in this very database are kept.
"""

from collections.abc import Iterable

from service.store.sql.transaction import Transaction

KEEP_ID = "INSERT INTO deleted_jobs (id) VALUES (:id)"
DELETE = "DELETE FROM jobs WHERE id = :id"
DELETED = "SELECT id FROM deleted_jobs ORDER BY id LIMIT :most"
FORGET_ID = "DELETE FROM deleted_jobs WHERE id = :id"
DELETED_TOGETHER = 100
"""The most folders that are deleted in one sweep of the dispatcher."""


def delete_jobs(transaction: Transaction, ids: Iterable[str]) -> None:
    """Delete all rows of some jobs; their artifacts are to be deleted next."""
    listed = [{"id": id_} for id_ in ids]
    transaction.execute_many(KEEP_ID, listed)
    transaction.execute_many(DELETE, listed)


def deleted_jobs(transaction: Transaction) -> list[str]:
    """Return the ids of deleted jobs whose artifacts may still be there: at most a hundred."""
    return [row["id"] for row in transaction.rows(DELETED, most=DELETED_TOGETHER)]


def forget_deleted(transaction: Transaction, ids: Iterable[str]) -> None:
    """Forget deleted jobs whose artifacts are gone."""
    transaction.execute_many(FORGET_ID, [{"id": id_} for id_ in ids])
