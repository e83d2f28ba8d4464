"""The number of samples that a data set has collected one by one"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("samples", sa.Integer(), nullable=True))
