"""The one way a row of `datasets` changes its state, and what is counted when it does."""

from typing import Any

from service.domain.dataset_quota import DatasetQuota, DatasetUsage
from service.domain.dataset_state import FINAL, DatasetState
from service.domain.errors import QuotaExceeded
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now

DATASETS = "data sets"
"""What transactions serialize that decide by the rows of several data sets, and what dispatchers
are notified of."""
FILES_OF = "sha256-"
"""The beginning of the names of leftovers that are the files of a digest."""

LOCK_CHECK = """
UPDATE datasets SET heartbeat = heartbeat
WHERE id = :id AND attempt = :attempt AND state = 'checking'
RETURNING number, id, owner, sha256, lost_workers, heartbeat, options, files, samples
"""
UPDATE_ROW = "UPDATE datasets SET {columns} WHERE number = :locked"
DELETE_ROW = "DELETE FROM datasets WHERE number = :number"
LEAVE = "INSERT INTO dataset_leftovers (name) VALUES (:name) ON CONFLICT DO NOTHING"
USAGE = """
SELECT count(CASE WHEN owner = :owner THEN 1 END) AS sets,
    coalesce(sum(CASE WHEN owner = :owner THEN bytes END), 0) AS owner_bytes,
    coalesce(sum(bytes), 0) AS all_bytes
FROM (
    SELECT owner, CASE WHEN state = 'ready' THEN disk_bytes ELSE upload_bytes END AS bytes
    FROM datasets WHERE (state <> 'failed' OR samples > 0) AND number <> :number
) AS counted
"""


def lock_check(transaction: Transaction, id_: str, attempt: int) -> Row | None:
    """Lock a data set's row until the transaction ends, if this attempt still checks it."""
    return transaction.row(LOCK_CHECK, id=id_, attempt=attempt)


def update_dataset(transaction: Transaction, row: Row, **values: Any) -> None:
    """Change a row that this transaction has locked."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    transaction.execute(UPDATE_ROW.format(columns=columns), locked=row["number"], **values)


def move_dataset(transaction: Transaction, row: Row, to: DatasetState, **values: Any) -> None:
    """Move a row that this transaction has locked to the state `to`.

    What was sent is no longer needed once a set is final, nor is what a failed one would have
    become; a sweep of the dispatcher deletes both, also after a process has died. Samples that were
    collected stay if the set fails: nobody has them elsewhere.
    """
    if to in FINAL:
        values |= {"finished_at": now(), "handle": None, "progress": None}
        if to == DatasetState.READY or not row.get("samples"):
            leave_upload(transaction, row["id"])
    if to == DatasetState.FAILED and row["sha256"]:
        leave_files(transaction, row["sha256"])
    update_dataset(transaction, row, state=to, **values)
    if to == DatasetState.QUEUED:
        transaction.notify(DATASETS)


def delete_dataset(transaction: Transaction, row: Row) -> None:
    """Delete a row that this transaction has locked; a sweep deletes its files."""
    leave_upload(transaction, row["id"])
    if row["sha256"]:
        leave_files(transaction, row["sha256"])
    transaction.execute(DELETE_ROW, number=row["number"])


def leave_upload(transaction: Transaction, id_: str) -> None:
    """Remember that what was sent, and what attempts have built of it, is to be deleted."""
    transaction.execute(LEAVE, name=id_)


def leave_files(transaction: Transaction, sha256: str) -> None:
    """Remember that the files of a digest are to be deleted if nothing else names them."""
    transaction.execute(LEAVE, name=f"{FILES_OF}{sha256}")


def usage_of(transaction: Transaction, owner: str, beside: int = 0) -> DatasetUsage:
    """Return what counts towards the quota of an owner, without the row of number `beside`."""
    [counted] = transaction.rows(USAGE, owner=owner, number=beside)
    return DatasetUsage(**counted)


def check_quota(used: DatasetUsage, quota: DatasetQuota, further: int) -> None:
    """Check that one more data set of `further` bytes is allowed.

    Raises:
        QuotaExceeded: it is not.

    """
    if used.sets >= quota.sets:
        raise QuotaExceeded(
            f"You have {used.sets:,} data sets, and {quota.sets:,} are allowed: delete one first."
        )
    for bytes_, most, whose in (
        (used.owner_bytes, quota.owner_bytes, "Your data sets"),
        (used.all_bytes, quota.all_bytes, "All data sets of this service"),
    ):
        if bytes_ + further > most:
            raise QuotaExceeded(
                f"{whose} take {bytes_:,} bytes, and with {further:,} more they would be over the "
                f"limit of {most:,}: delete one first."
            )
