"""Deleted jobs whose artifacts remain; an index for the most accurate model of each owner"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deleted_jobs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deleted_jobs")),
    )
    most_accurate = ["owner", "learned", "test_accuracy", "finish_number"]
    op.create_index("ix_jobs_owner_learned_test_accuracy", "jobs", most_accurate)
