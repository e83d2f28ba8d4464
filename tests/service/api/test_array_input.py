"""What the axes of an array are: digits, pictures of any size, colours."""

import numpy as np
import pytest

from service.api.array_input import from_array
from service.domain.errors import BadImage
from tests.support.drawn_digits import mnist


def sizes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the size of each picture in an array of some shape."""
    found = from_array(np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8))
    return [np.asarray(picture).shape for picture in found.images]


@pytest.mark.parametrize(
    ("shape", "count", "size"),
    [
        ((784,), 1, (28, 28)),
        ((28, 28), 1, (28, 28)),
        ((1, 784), 1, (28, 28)),
        ((784, 1), 1, (28, 28)),
        ((5, 784), 5, (28, 28)),
        ((784, 784), 784, (28, 28)),
        ((5, 28, 28), 5, (28, 28)),
        ((3, 28, 28), 3, (28, 28)),
        ((5, 1, 28, 28), 5, (28, 28)),
        ((5, 28, 28, 1), 5, (28, 28)),
        ((28, 28, 3), 1, (28, 28)),
        ((2, 28, 28, 4), 2, (28, 28)),
        ((56, 84), 1, (56, 84)),
        ((28, 84), 1, (28, 84)),
        ((84, 28), 1, (84, 28)),
        ((1, 56, 84), 1, (56, 84)),
        ((56, 84, 1), 1, (56, 84)),
        ((5, 56, 84), 5, (56, 84)),
        ((56, 84, 3), 1, (56, 84)),
        ((2, 3, 56, 84), 2, (56, 84)),
        ((2, 56, 84, 4), 2, (56, 84)),
        ((100, 4), 1, (100, 4)),
    ],
    ids=str,
)
def test_an_array_is_read_as_what_its_shape_says(
    shape: tuple[int, ...], count: int, size: tuple[int, int]
) -> None:
    assert sizes(shape) == [size] * count


@pytest.mark.parametrize(
    "shape",
    [
        (4704,),
        (5, 3072),
        (10, 1024),
        (784, 5),
        (1, 5, 784),
        (5, 3, 784),
        (28, 28, 5),
        (28, 28, 100),
        (3, 56, 84),
        (2, 2, 28, 28),
        (2, 1, 1, 2, 28, 28),
    ],
    ids=str,
)
def test_an_array_whose_shape_is_not_plain_is_refused_with_those_that_are(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(BadImage, match=r"not one of pictures. Send .* \(n, 784\)") as refused:
        sizes(shape)
    assert str(shape) in str(refused.value)


def test_a_batch_keeps_the_order_of_its_digits() -> None:
    digits = mnist("t10k")[:20]
    for batch in (digits, digits.reshape(20, 784), digits[:, None], digits[..., None]):
        assert (np.asarray(from_array(batch).images) == digits).all()
