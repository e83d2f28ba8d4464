"""Temperatures that evaluations have fitted, so that predictions can be tempered"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "temperatures",
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("checkpoint_sha256", sa.String(length=64), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.Column("temperature", sa.Float(), nullable=False),
        sa.Column("fitted_on", sa.String(length=16), nullable=False),
        sa.Column("fitted_rows", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.number"], name=op.f("fk_temperatures_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job", "checkpoint_sha256", "split", name=op.f("pk_temperatures")),
    )
    # Answers of before would be given again without their temperatures being kept.
    op.execute("""DELETE FROM evaluations WHERE answer LIKE '%"tempered":{%'""")
