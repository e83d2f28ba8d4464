"""Which epochs keep their networks: few, further and further apart, known in advance."""

from itertools import pairwise

import pytest

from service.domain.snapshot_plan import NO_SNAPSHOTS, SnapshotLimits, snapshot_plan

WIDE = SnapshotLimits(bytes=10**12)


@pytest.mark.parametrize("epochs", [1, 2, 12, 23, 24, 50, 999, 10_000])
@pytest.mark.parametrize("count", [2, 3, 8, 24, 100])
def test_the_first_and_the_last_epoch_are_kept_and_no_more_than_the_limit(
    epochs: int, count: int
) -> None:
    plan = snapshot_plan(epochs, 1000, SnapshotLimits(count, 10**9))
    assert len(plan.epochs) == min(count - 1, epochs), "one place is for the best epoch"
    assert max(plan.epochs) == epochs
    assert count == 2 or min(plan.epochs) == 1
    assert plan.keeps_best


def test_epochs_lie_further_and_further_apart() -> None:
    kept = sorted(snapshot_plan(10_000, 1000, WIDE).epochs)
    assert kept[:6] == [1, 2, 3, 5, 7, 10]
    assert len(kept) == 23
    ratios = [later / earlier for earlier, later in pairwise(kept[5:])]
    assert 1.45 < min(ratios) <= max(ratios) < 1.55, "10 000 ** (1 / 22) is 1.52"


@pytest.mark.parametrize(("megabytes", "kept"), [(4, 3), (8, 1), (16, 0)])
def test_a_large_network_keeps_fewer(megabytes: int, kept: int) -> None:
    """The parameters take four bytes each, and all of them together may take 16 MiB."""
    plan = snapshot_plan(50, megabytes * 1024**2 // 4, SnapshotLimits())
    assert len(plan.epochs) == kept
    assert plan.keeps_best


@pytest.mark.parametrize(
    ("parameters", "limits"),
    [(4 * 1024**2 + 1, SnapshotLimits()), (10, SnapshotLimits(0)), (10, SnapshotLimits(bytes=39))],
)
def test_none_are_kept_if_there_is_no_place_for_one(
    parameters: int, limits: SnapshotLimits
) -> None:
    assert snapshot_plan(50, parameters, limits) == NO_SNAPSHOTS
