"""API keys, and the owners of jobs and idempotency keys"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.add_column("jobs", sa.Column("owner", sa.String(length=64), nullable=True))
    op.create_index("ix_jobs_owner_number", "jobs", ["owner", "number"])
    op.create_index("ix_jobs_owner_state_number", "jobs", ["owner", "state", "number"])
    _own_idempotency_keys()


def _own_idempotency_keys() -> None:
    """Rebuild the table, because SQLite can't change a primary key; old rows have no owner."""
    op.execute("CREATE TABLE idempotency_keys_before AS SELECT * FROM idempotency_keys")
    op.drop_table("idempotency_keys")
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
    )
    op.execute(
        "INSERT INTO idempotency_keys (owner, key, body_sha256, job, answer, created_at) "
        "SELECT '', key, body_sha256, job, answer, created_at FROM idempotency_keys_before"
    )
    op.drop_table("idempotency_keys_before")
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
