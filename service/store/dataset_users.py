"""Which jobs need a data set, so that it can be deleted only by force."""

from service.domain.dataset_state import DatasetState
from service.domain.job_state import FINAL
from service.store.dataset_files import SHIPPED
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.transitions import states

# Only jobs of the owner count: nobody can keep another one from deleting a data set. A job needs
# the data until it is final, and after that if it has a network to evaluate.
USERS = f"""
SELECT id FROM jobs WHERE dataset_sha256 = :sha256 AND coalesce(owner, '') = :owner
AND (state NOT IN ({states(FINAL)})
    OR EXISTS (SELECT 1 FROM checkpoints WHERE checkpoints.job = jobs.number))
ORDER BY number DESC
"""  # noqa: S608
TWIN = """
SELECT number FROM datasets
WHERE sha256 = :sha256 AND owner = :owner AND state = 'ready' AND number <> :number LIMIT 1
"""


def jobs_that_need(transaction: Transaction, row: Row) -> list[str]:
    """Return the jobs that need a data set, if its owner has the same content nowhere else."""
    named = {"sha256": row["sha256"], "owner": row["owner"]}
    ready = row["state"] == DatasetState.READY and row["sha256"] not in SHIPPED
    if not ready or transaction.row(TWIN, **named, number=row["number"]):
        return []
    return [job["id"] for job in transaction.rows(USERS, **named)]
