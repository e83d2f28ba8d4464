"""Numbers that order finished jobs and idempotency keys, independently of clocks"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FINISHED_IN_ORDER = """
UPDATE jobs SET finish_number = ended.place
FROM (
    SELECT number, row_number() OVER (ORDER BY finished_at, number) AS place
    FROM jobs WHERE finished_at IS NOT NULL
) AS ended
WHERE ended.number = jobs.number
"""
KEYS_IN_ORDER = """
UPDATE idempotency_keys SET job_number =
    coalesce((SELECT number FROM jobs WHERE jobs.id = idempotency_keys.job), 0)
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("finish_number", sa.Integer()))
    op.execute(FINISHED_IN_ORDER)
    op.create_index("ix_jobs_finish_number", "jobs", ["finish_number"])
    op.create_index("ix_jobs_state_finish_number", "jobs", ["state", "finish_number"])

    op.add_column("idempotency_keys", sa.Column("job_number", sa.Integer()))
    op.execute(KEYS_IN_ORDER)
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")
    op.create_index("ix_idempotency_keys_job_number", "idempotency_keys", ["job_number"])
