"""Deletion of jobs: the row goes first, and the id is kept until the artifacts are gone as well.

So a process may die in between, and no other folder is ever deleted: only the ids of jobs that were
in this very database are kept.
"""

from collections.abc import Collection, Iterable

from service.store.event_log import KEPT_EVENTS
from service.store.sql.transaction import Transaction
from service.store.sql.values import in_list
from service.store.transitions import record_deletion

LOCK = "SELECT number, id, owner FROM jobs WHERE id IN ({ids}) ORDER BY number FOR UPDATE"
KEEP_ID = "INSERT INTO deleted_jobs (id) VALUES (:id)"
DELETE = "DELETE FROM jobs WHERE id = :id"
DELETED = "SELECT id FROM deleted_jobs ORDER BY id LIMIT :most"
# The number within the job is null as well, which makes it a search in the index.
FORGET_OLD_DELETIONS = """
DELETE FROM events WHERE job IS NULL AND number IS NULL
AND seq < (SELECT max(seq) FROM events) - :kept
"""
FORGET_ID = "DELETE FROM deleted_jobs WHERE id = :id"
DELETED_TOGETHER = 100
"""The most folders that are deleted in one sweep of the dispatcher."""


def delete_jobs(transaction: Transaction, ids: Collection[str]) -> None:
    """Delete all rows of some jobs, and record it; their artifacts are to be deleted next."""
    listed, parameters = in_list("id", ids)
    found = transaction.rows(LOCK.replace("{ids}", listed), **parameters)
    for row in found:
        record_deletion(transaction, row["id"], row["owner"])
    each = [{"id": row["id"]} for row in found]
    transaction.execute_many(KEEP_ID, each)
    transaction.execute_many(DELETE, each)
    transaction.execute_last(FORGET_OLD_DELETIONS, kept=KEPT_EVENTS)


def deleted_jobs(transaction: Transaction) -> list[str]:
    """Return the ids of deleted jobs whose artifacts may still be there: at most a hundred."""
    return [row["id"] for row in transaction.rows(DELETED, most=DELETED_TOGETHER)]


def forget_deleted(transaction: Transaction, ids: Iterable[str]) -> None:
    """Forget deleted jobs whose artifacts are gone."""
    transaction.execute_many(FORGET_ID, [{"id": id_} for id_ in ids])
