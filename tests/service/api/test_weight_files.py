"""Weights as files, compared with the files of the formats' own libraries."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from service.api.weight_files import (
    PIECE_BYTES,
    Description,
    Pieces,
    json_object,
    npz_pieces,
    safetensors_pieces,
)
from service.store.checkpoints import Arrays, weights_only

ABOUT = {"model": "job_é", "activation": "tanh", "hidden": "[5]"}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {
        "layers.1.weight": rng.standard_normal((6, 5), np.float32),
        "layers.1.bias": np.array([0.0, -0.0, 1e-45, -3.4e38, np.pi], np.float32),
        "momentum.layers.1.weight": rng.standard_normal((6, 5), np.float32),
    }


def test_the_npz_file_does_not_depend_on_the_order_of_the_arrays() -> None:
    """safetensors returns arrays in another order in each process."""
    weights = arrays()
    other = dict(reversed(weights.items()))
    assert b"".join(npz_pieces(other, ABOUT)) == b"".join(npz_pieces(weights, ABOUT))


def test_the_npz_file_holds_the_same_weights() -> None:
    weights = arrays()
    with np.load(io.BytesIO(b"".join(npz_pieces(weights, ABOUT))), allow_pickle=False) as file:
        assert set(file) == {"metadata.json", "layers.1.weight", "layers.1.bias"}
        assert json.loads(file["metadata.json"]) == ABOUT
        for name in set(file) - {"metadata.json"}:
            assert file[name].tobytes() == weights[name].tobytes()


@pytest.mark.parametrize("write", [npz_pieces, safetensors_pieces])
def test_large_weights_are_sent_in_small_pieces(
    write: Callable[[Arrays, Description], Pieces],
) -> None:
    weights = {"layers.1.weight": np.ones((700, 300), np.float32)}
    pieces = [len(piece) for piece in write(weights, ABOUT)]
    assert sum(pieces) > weights["layers.1.weight"].nbytes
    assert max(pieces) < PIECE_BYTES + 1024


def test_the_safetensors_file_is_the_one_that_the_library_writes() -> None:
    weights = arrays()
    one = {"activation": "tanh — 1/255"}  # the library writes several in random order
    written = b"".join(safetensors_pieces(weights, one))
    assert written == save(weights_only(weights), metadata=one)


def test_the_description_is_read_by_the_safetensors_library(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"".join(safetensors_pieces(arrays(), ABOUT)))
    with safe_open(tmp_path / "file", "numpy") as file:
        assert file.metadata() == ABOUT


def test_the_json_object_holds_the_same_weights_and_the_description() -> None:
    read = json.loads(json_object(arrays(), ABOUT))
    assert read.pop("__metadata__") == ABOUT
    assert set(read) == {"layers.1.weight", "layers.1.bias"}
    for name, values in read.items():
        assert np.array(values, np.float32).tobytes() == arrays()[name].tobytes()
