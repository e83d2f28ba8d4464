"""Hosts, and numbers beyond 32 bits in databases other than SQLite"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

WITH_HOST = ("jobs", "datasets", "evaluation_tasks")
LONG = (
    ("checkpoints", "size", False),
    ("snapshots", "size", False),
    ("datasets", "upload_bytes", False),
    ("datasets", "disk_bytes", False),
    ("evaluation_tasks", "size", True),
    ("events", "seq", False),
)
"""Table, column, and whether it may be null; SQLite's numbers have always had 64 bits."""


def upgrade() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosts")),
    )
    for table in WITH_HOST:
        op.add_column(table, sa.Column("host", sa.String(length=64), nullable=True))
    if op.get_bind().dialect.name != "sqlite":
        _lengthen_numbers()


def _lengthen_numbers() -> None:
    for table, column, nullable in LONG:
        op.alter_column(
            table,
            column,
            type_=sa.BigInteger(),
            existing_type=sa.Integer(),
            existing_nullable=nullable,
        )
    # The numbers of events come from a sequence, which was made for 32 bits.
    op.execute("ALTER SEQUENCE events_seq_seq AS BIGINT")
