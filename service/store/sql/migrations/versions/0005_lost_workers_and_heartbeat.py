"""Lost workers and heartbeat: columns named as clients and the code name them"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plain SQL: Alembic's batch mode would copy the table, and both engines rename in place.
    op.execute("ALTER TABLE jobs RENAME COLUMN losses TO lost_workers")
    op.execute("ALTER TABLE jobs RENAME COLUMN beat TO heartbeat")
