"""The rows that a report doubts, found again in the stored arrays."""

import numpy as np
import pytest

from mlp_core import Split
from service.ingest.misfits import Misfit, misfits_in


def random_splits(seed: int) -> dict[str, Split]:
    """Return splits of so few different rows that all kinds of copies occur."""
    rng = np.random.default_rng(seed)

    def split(rows: int) -> Split:
        images = rng.integers(0, 3, (rows, 2), dtype=np.uint8) * 100
        return Split(images, rng.integers(0, 4, rows, dtype=np.uint8))

    return {"train": split(30), "validation": split(6), "test": split(9)}


def brute(splits: dict[str, Split], misfit: Misfit) -> list[tuple[tuple[str, int], ...]]:
    """Return the same by comparing each row with all before it."""
    rows = [
        (name, at, tuple(split.images[at].tolist()), int(split.labels[at]))
        for name, split in splits.items()
        for at in range(len(split.labels))
    ]
    found: list[tuple[tuple[str, int], ...]] = []
    for number, (name, at, pixels, label) in enumerate(rows):
        same = [row for row in rows if row[2] == pixels]
        equal = {
            Misfit.DUPLICATES: [it for it in same if (it[0], it[3]) == (name, label)],
            Misfit.LEAK: [it for it in same if it[0] == "train"] if name != "train" else [],
            Misfit.TWO_LABELS: same if same[0][3] != label else [],
        }.get(misfit, [])
        is_copy = equal and rows.index(equal[0]) != number
        if is_copy:
            found.append(((name, at), equal[0][:2]))
        trained = [it for it in rows if it[0] == "train" and it[3] == label]
        is_rare = misfit == Misfit.RARE_CLASS and name == "train" and len(trained) < 10
        if is_rare or (misfit == Misfit.BLANK and len(set(pixels)) == 1):
            found.append(((name, at),))
    return found


@pytest.mark.parametrize("misfit", list(Misfit))
def test_misfits_are_those_that_a_comparison_of_all_rows_finds(misfit: Misfit) -> None:
    for seed in range(5):
        splits = random_splits(seed)
        expected = brute(splits, misfit)
        assert expected, "the rows have such ones"
        assert misfits_in(splits, misfit) == expected
