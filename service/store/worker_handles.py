"""The handles of all workers: of jobs, of checks of data sets, and of large evaluations."""

from typing import Any

from service.domain.job_state import WITH_WORKER
from service.store.sql.database import Database
from service.store.transitions import states

# Workers are asked to leave before a migration, so these columns exist in every schema that has
# the tables.
OF_JOBS = f"SELECT handle FROM jobs WHERE state IN ({states(WITH_WORKER)})"  # noqa: S608
OF_CHECKS = "SELECT handle FROM datasets WHERE state = 'checking'"
OF_EVALUATIONS = "SELECT handle FROM evaluation_tasks WHERE state = 'running'"
HANDLES = {"jobs": OF_JOBS, "datasets": OF_CHECKS, "evaluation_tasks": OF_EVALUATIONS}
"""The statements by table; the first schemas had only the one of jobs."""


def worker_handles(database: Database) -> list[dict[str, Any] | None]:
    """Return the handles of all workers, also from a database that is not migrated yet."""
    statements = [statement for table, statement in HANDLES.items() if database.has_table(table)]
    with database.read() as transaction:
        return [row["handle"] for each in statements for row in transaction.rows(each)]
