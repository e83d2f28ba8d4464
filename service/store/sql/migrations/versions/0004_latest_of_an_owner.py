"""An index that finds an owner's `latest` model without reading the jobs of other owners"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = ["owner", "state", "finish_number"]
    op.create_index("ix_jobs_owner_state_finish_number", "jobs", columns)
