"""Indexes with which PostgreSQL finds the next job, and sorts lists, among a million jobs"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
SORTED: dict[str, list[Any]] = {
    "title": ["title", "number"],
    "best": [sa.text("best_accuracy DESC NULLS LAST"), sa.text("number DESC")],
    "worst": ["best_accuracy", "number"],
}
ROOM = "ALTER TABLE jobs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    # SQLite takes the index of states and numbers. PostgreSQL estimates, and would read the numbers
    # from the first one on.
    op.create_index("ix_jobs_queue", "jobs", ["number"], postgresql_where=QUEUED)
    # The state is part of them, because without it PostgreSQL may read all jobs in their order to
    # find the few of a state.
    for name, columns in SORTED.items():
        op.create_index(f"ix_jobs_state_{name}", "jobs", ["state", *columns])
        op.create_index(f"ix_jobs_owner_state_{name}", "jobs", ["owner", "state", *columns])
    # Heartbeats change no indexed column: the new version of a row fits beside the old one.
    op.execute(ROOM)
