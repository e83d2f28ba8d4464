"""Which jobs have learned something; names, last use and lent models of API keys"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LAST_ACCURACY = """
UPDATE jobs SET test_accuracy = (
    SELECT epochs.test_accuracy FROM epochs WHERE epochs.job = jobs.number
    ORDER BY epochs.number DESC LIMIT 1
) WHERE state = 'succeeded'
"""
# What `service.domain.baseline` demands on MNIST's test set; until now, there was no other.
JUDGED = """
UPDATE jobs SET learned = coalesce(test_accuracy, 0) >= 0.20215 WHERE state = 'succeeded'
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("learned", sa.Boolean(), nullable=True))
    op.add_column("jobs", sa.Column("test_accuracy", sa.Float(), nullable=True))
    op.execute(LAST_ACCURACY)
    op.execute(JUDGED)
    learned = ["learned", "finish_number"]
    op.create_index("ix_jobs_learned_finish_number", "jobs", learned)
    op.create_index("ix_jobs_owner_learned_finish_number", "jobs", ["owner", *learned])

    op.add_column("api_keys", sa.Column("name", sa.String(length=64), nullable=True))
    op.add_column("api_keys", sa.Column("models_of", sa.String(length=64), nullable=True))
    last_used = sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("api_keys", last_used)
