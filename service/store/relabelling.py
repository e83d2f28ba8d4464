"""Changes of a job's labels: its name, its tags and its notes, on which no training depends."""

from collections.abc import Callable
from typing import Any

from service.store.job_list import labels_of, network_of
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.transitions import record_change, update_row

Labels = dict[str, Any]
"""The fields `name`, `tags` and `metadata` of a spec."""
LABELS = ("name", "tags", "metadata")

LABELLED = "SELECT spec, search FROM jobs WHERE number = :job"


def relabel(transaction: Transaction, row: Row, change: Callable[[Labels], Labels]) -> None:
    """Give a locked row the labels that `change` makes of those it has; record it if they differ.

    The rest of the spec stays as it was accepted.
    """
    [stored] = transaction.rows(LABELLED, job=row["number"])
    before = {name: stored["spec"].get(name) for name in LABELS}
    after = change(dict(before))
    if after == before:
        return
    spec = stored["spec"] | after
    labels = labels_of(row["id"], spec, network_of(stored["search"]))
    update_row(transaction, row, {"spec": spec, **labels})
    record_change(transaction, row["number"])
