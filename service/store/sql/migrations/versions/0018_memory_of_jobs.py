"""The memory that jobs take, and that hosts have for them"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
QUEUED = sa.text("state = 'queued'")
WORKER_BYTES = 64 * 1024**2
"""What `worker_bytes` in service/domain/cost.py added when this was written."""


def upgrade() -> None:
    jobs_bytes = sa.Column("bytes", LONG, nullable=False, server_default="0")
    op.add_column("jobs", jobs_bytes)
    of_arrays = (
        "json_extract(cost, '$.bytes')"
        if op.get_bind().dialect.name == "sqlite"
        else "CAST(cost ->> 'bytes' AS BIGINT)"
    )
    # Jobs that have ended start no more, and may be many.
    op.execute(
        f"UPDATE jobs SET bytes = {WORKER_BYTES} + coalesce({of_arrays}, 0) "  # noqa: S608  constants
        "WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
    )
    op.create_index(
        "ix_jobs_queued_bytes",
        "jobs",
        ["state", "bytes"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.add_column("hosts", sa.Column("memory", LONG, nullable=False, server_default="0"))
    op.drop_column("hosts", "busy")
