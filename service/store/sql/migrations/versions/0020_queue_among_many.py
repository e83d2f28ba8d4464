"""An index with which PostgreSQL finds the oldest queued job among a million that have ended"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
ROOM = "ALTER TABLE jobs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)"


def upgrade() -> None:
    # SQLite takes the index of states and numbers. PostgreSQL estimates, and would read the numbers
    # from the first one on.
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_jobs_queue", "jobs", ["number"], postgresql_where=QUEUED)
        # Heartbeats change no indexed column: the new version of a row fits beside the old one.
        op.execute(ROOM)
