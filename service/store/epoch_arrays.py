"""The finished epochs of many jobs as arrays, read with one query."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.store.sql.transaction import Transaction
from service.store.sql.values import in_list

EpochArray = NDArray[np.float64]
"""A row for each finished epoch of a job, in order; its columns are EPOCH_FIELDS."""
EPOCH_FIELDS = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")

EPOCHS_OF_JOBS = """
SELECT job, number, train_loss, train_accuracy, test_loss, test_accuracy, seconds
FROM epochs WHERE job IN ({jobs}) AND number > :after ORDER BY job, number
"""


def read_epoch_arrays(
    transaction: Transaction, jobs: Sequence[int], after: int
) -> dict[int, EpochArray]:
    """Return the epochs with numbers above `after` of each of these jobs, by their numbers.

    Rows become arrays piece by piece: as Python objects, 64 jobs of ten thousand epochs would take
    a tenth of a gigabyte.
    """
    if not jobs:
        return {}
    listed, parameters = in_list("job", jobs)
    statement = EPOCHS_OF_JOBS.replace("{jobs}", listed)
    pieces = transaction.pieces(statement, after=after, **parameters)
    none = np.empty((0, 1 + len(EPOCH_FIELDS)))
    table = np.concatenate([none, *(np.array(piece, np.float64) for piece in pieces)])
    return {job: table[table[:, 0] == job, 1:] for job in jobs}
