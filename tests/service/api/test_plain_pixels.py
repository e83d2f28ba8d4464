"""The short way through a JSON body reads what the general one reads, or nothing."""

import json
from typing import Any

import numpy as np
import pytest

from service.api import plain_pixels, predict_input
from service.inference.predict import Options

CELLS = [n % 256 for n in range(784)]
ROWS: list[Any] = [CELLS[at : at + 28] for at in range(0, 784, 28)]


def image(value: Any) -> np.ndarray | None:
    body = json.dumps(value).encode()
    return plain_pixels.image(predict_input.parse("application/json", body), body)


@pytest.mark.parametrize("pixels", [CELLS, ROWS], ids=["flat", "rows"])
def test_784_whole_numbers_are_an_image(pixels: list[Any]) -> None:
    found = image({"inputs": [{"pixels": pixels}]})
    assert found is not None
    assert (found == np.array(CELLS).reshape(28, 28)).all()


ODD: list[Any] = [256, -1, 1.0, True, False, None, "1", [1], {}, 10**30]


def changed(index: int, value: Any) -> list[Any]:
    return [*CELLS[:index], value, *CELLS[index + 1 :]]


@pytest.mark.parametrize(
    "pixels",
    [
        *[changed(7, value) for value in ODD],
        [],
        CELLS[:-1],
        [*CELLS, 0],
        ROWS[:-1],
        [*ROWS[:-1], ROWS[0][:-1]],
        [*ROWS[:-1], "x" * 28],
        [*ROWS[:-1], {str(n): 1 for n in range(28)}],
        [ROWS, ROWS],
        "x" * 784,
        None,
        {},
    ],
    ids=range(21),
)
def test_other_pixels_are_left_to_the_general_reader(pixels: Any) -> None:
    assert image({"inputs": [{"pixels": pixels}]}) is None


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{"pixels": CELLS}], "top_k": 2},
        {"inputs": [{"pixels": CELLS}, {"pixels": CELLS}]},
        {"inputs": [{"pixels": CELLS, "split": "test"}]},
        {"inputs": [{"values": CELLS}]},
        {"inputs": {"pixels": CELLS}},
        {"inputs": []},
        [{"pixels": CELLS}],
        {},
        None,
    ],
    ids=range(9),
)
def test_other_bodies_are_left_to_the_general_reader(body: Any) -> None:
    assert image(body) is None


def test_both_ways_read_the_same() -> None:
    value: Any = {"inputs": [{"pixels": ROWS}]}
    no_datasets: Any = None
    [general], _ = predict_input.read("application/json", value, Options(), no_datasets)
    found = image(value)
    assert found is not None
    assert (found == general).all()
