"""Thinned curves keep what can be seen of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.pictures.thinning import Floats, thinned, thinned_together


def extremes(values: Sequence[float], each: int) -> Iterator[int]:
    """Yield where the lowest and the highest value of each `each` values first stand."""
    for place in range(0, len(values), each):
        part = list(values[place : place + each])
        yield place + part.index(min(part))
        yield place + part.index(max(part))


def test_a_short_curve_is_drawn_point_by_point() -> None:
    values = np.random.default_rng(0).random(300)
    np.testing.assert_array_equal(thinned(values, 150), np.arange(300))


@pytest.mark.parametrize("n", [2001, 9999, 10_000])
def test_each_column_keeps_its_lowest_and_highest_and_both_ends(n: int) -> None:
    values = np.random.default_rng(n).random(n)
    kept = thinned(values, 200)
    assert len(kept) <= 402
    assert set(kept.tolist()) == {0, n - 1, *extremes(values.tolist(), -(-n // 200))}


def test_gaps_in_a_long_curve_stay_gaps() -> None:
    values = np.random.default_rng(0).random(10_000)
    values[[0, 5000, 9_999]] = np.nan
    values[2000:2500] = np.nan
    kept = thinned(values, 200)
    missing = np.isnan(values[kept])
    assert {0, 2000, 2499, 5000, 9999} <= set(kept[missing].tolist())
    assert not [k for k in kept[~missing] if 2000 <= k < 2500]
    assert thinned(np.full(10_000, np.nan), 200).size <= 402


NUMBERS = st.floats(-1e9, 1e9, width=32)


@st.composite
def curves_of_one_length(draw: st.DrawFn) -> list[Floats]:
    n = draw(st.integers(1, 400))
    curve = st.lists(NUMBERS, min_size=n, max_size=n)
    return [np.array(draw(curve)) for _ in range(draw(st.integers(1, 4)))]


@settings(deadline=None)
@given(curves=curves_of_one_length(), most=st.integers(16, 120))
def test_curves_thinned_together_keep_the_extremes_of_each_part_of_each_curve(
    curves: list[Floats], most: int
) -> None:
    kept, n = thinned_together(curves, most), len(curves[0])
    assert len(kept) <= most
    if n <= most:
        assert kept.tolist() == list(range(n))
        return
    possible = [
        {0, n - 1}.union(*(extremes(curve.tolist(), each) for curve in curves))
        for each in range(1, n + 1)
    ]
    assert set(kept.tolist()) in possible
    assert kept.tolist() == sorted(set(kept.tolist()))


def test_smooth_curves_use_most_of_the_points_allowed() -> None:
    falling = np.linspace(1, 0, 10_000) ** 2
    assert 500 <= len(thinned_together([falling, 1 - falling] * 2, 1000)) <= 1000
