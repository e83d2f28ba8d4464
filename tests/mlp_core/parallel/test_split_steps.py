import pytest

from mlp_core.parallel.split_steps import split_units


@pytest.mark.parametrize(("n_out", "cut"), [(31, 0), (64, 32), (100, 48), (128, 64), (300, 144)])
def test_units_are_split_near_the_middle_at_a_multiple_of_a_register(n_out: int, cut: int) -> None:
    assert split_units(n_out) == (slice(0, cut), slice(cut, n_out))
