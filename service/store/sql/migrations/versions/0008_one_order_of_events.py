"""One order of the events of all jobs; events of deleted jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rebuild the table, because SQLite can't change a primary key.

    SQLite numbers rows in the order in which they were written, so old events keep theirs. Other
    engines were first supported after this revision, and have no rows here.
    """
    order = " ORDER BY rowid" if op.get_bind().dialect.name == "sqlite" else ""
    op.execute(f"CREATE TABLE events_before AS SELECT * FROM events{order}")  # noqa: S608
    op.drop_table("events")
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("job", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.number"], name=op.f("fk_events_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("job", "number", name=op.f("uq_events_job")),
        sqlite_autoincrement=True,
    )
    op.execute(
        f"""INSERT INTO events (job, number, type, at, data)
        SELECT job, number, type, at, data FROM events_before{order}"""  # noqa: S608
    )
    op.drop_table("events_before")
