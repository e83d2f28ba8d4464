"""An index for the most accurate model of each owner"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    most_accurate = ["owner", "learned", "test_accuracy", "finish_number"]
    op.create_index("ix_jobs_owner_learned_test_accuracy", "jobs", most_accurate)
