"""By what jobs are found and sorted: title, labels, best accuracy"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("title", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("search", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("best_accuracy", sa.Float(), nullable=True))
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT number, id, spec, best FROM jobs")).all()
    if found:
        connection.execute(
            sa.text(
                "UPDATE jobs SET title = :title, search = :search, best_accuracy = :best "
                "WHERE number = :number"
            ),
            [_columns(*row) for row in found],
        )
    op.create_index("ix_jobs_best_accuracy_number", "jobs", ["best_accuracy", "number"])


def _columns(number: int, id_: str, spec: str, best: str | None) -> dict[str, object]:
    """Return the new columns of a row; until now, MNIST was the one data set there was."""
    given = json.loads(spec)
    name, preset, hidden = given.get("name", ""), given.get("preset") or "", given.get("hidden", [])
    network = "-".join(map(str, [784, *hidden, 10]))
    tags = "".join(f"\t{tag}\t" for tag in given.get("tags", []))
    labels = [name, id_, network, given.get("activation", "relu"), preset, tags]
    return {
        "number": number,
        "title": (name or preset or id_).casefold(),
        "search": "\n".join(labels).casefold(),
        "best": json.loads(best)["test_accuracy"] if best else None,
    }
