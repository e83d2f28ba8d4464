"""Evaluations that have been answered, so that they need not be computed again"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.number"], name=op.f("fk_evaluations_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evaluations")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_evaluations_job_key", "evaluations", ["job", "key"], unique=True)
