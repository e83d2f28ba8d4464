"""Weights as files, compared with the files of the formats' own libraries."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import save

from service.api.weight_files import PIECE_BYTES, Pieces, npz_pieces, safetensors_pieces
from service.store.checkpoints import Arrays, weights_only

RNG = np.random.default_rng(4)


def arrays() -> dict[str, np.ndarray]:
    return {
        "layers.1.weight": RNG.standard_normal((6, 5), np.float32),
        "layers.1.bias": np.array([0.0, -0.0, 1e-45, -3.4e38, np.pi], np.float32),
        "momentum.layers.1.weight": RNG.standard_normal((6, 5), np.float32),
    }


def test_the_npz_file_does_not_depend_on_the_order_of_the_arrays() -> None:
    """safetensors returns arrays in another order in each process."""
    weights = arrays()
    assert b"".join(npz_pieces(dict(reversed(weights.items())))) == b"".join(npz_pieces(weights))


def test_the_npz_file_holds_the_same_weights() -> None:
    weights = arrays()
    with np.load(io.BytesIO(b"".join(npz_pieces(weights))), allow_pickle=False) as file:
        assert set(file) == {"layers.1.weight", "layers.1.bias"}
        for name in file:
            assert file[name].tobytes() == weights[name].tobytes()


@pytest.mark.parametrize("write", [npz_pieces, safetensors_pieces])
def test_large_weights_are_sent_in_small_pieces(write: Callable[[Arrays], Pieces]) -> None:
    weights = {"layers.1.weight": np.ones((700, 300), np.float32)}
    pieces = [len(piece) for piece in write(weights)]
    assert sum(pieces) > weights["layers.1.weight"].nbytes
    assert max(pieces) < PIECE_BYTES + 1024


def test_the_safetensors_file_is_the_one_that_the_library_writes() -> None:
    weights = arrays()
    assert b"".join(safetensors_pieces(weights)) == save(weights_only(weights))
