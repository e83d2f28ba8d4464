"""Checkpoints as files: bit-exact, named by job, attempt and cursor, and checked when read."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mlp_core import Checkpoint, Cursor
from service.domain.errors import StoreBroken
from service.store.checkpoints import (
    CheckpointStore,
    decode,
    encode,
    weights_only,
    weights_sha256,
)

RNG = np.random.default_rng(4)
SPECIAL = np.array([0.0, -0.0, 1e-45, -3.4e38, np.pi], np.float32)


def arrays() -> dict[str, np.ndarray]:
    return {
        "layers.1.weight": RNG.standard_normal((6, 5), np.float32),
        "layers.1.bias": SPECIAL,
        "momentum.layers.1.weight": RNG.standard_normal((6, 5), np.float32),
    }


def checkpoint(seconds: float = 0.1 + 0.2) -> Checkpoint:
    return Checkpoint(Cursor(3, 14), arrays(), seconds)


def tensors_of(file: bytes) -> tuple[dict[str, dict[str, object]], bytes]:
    """The header and the tensor data, by the format's own description."""
    (size,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def test_a_checkpoint_comes_back_bit_for_bit(checkpoints: CheckpointStore) -> None:
    made = checkpoint()
    read = checkpoints.load(checkpoints.save("job", 2, made))
    assert (read.cursor, read.epoch_seconds) == (made.cursor, made.epoch_seconds)
    assert set(read.arrays) == set(made.arrays)
    for name, array in made.arrays.items():
        assert read.arrays[name].dtype == np.float32
        assert read.arrays[name].shape == array.shape
        assert read.arrays[name].tobytes() == array.tobytes()


def test_what_is_saved_names_job_attempt_and_cursor(
    checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    saved = checkpoints.save("job", 2, checkpoint())
    assert (saved.job, saved.attempt, saved.epochs_done, saved.batches_done) == ("job", 2, 3, 14)
    assert saved.key == "job/2/3-14.safetensors"
    data = (tmp_path / "jobs" / saved.key).read_bytes()
    assert saved.size == len(data)
    assert saved.sha256 == hashlib.sha256(data).hexdigest()


def test_a_deleted_checkpoint_is_not_found(checkpoints: CheckpointStore) -> None:
    saved = checkpoints.save("job", 2, checkpoint())
    checkpoints.delete(saved.key)
    with pytest.raises(FileNotFoundError):
        checkpoints.load(saved)


def test_the_hash_of_the_weights_leaves_the_header_out() -> None:
    weights = arrays()
    header, data = tensors_of(save(weights_only(weights)))
    assert set(header) == {"layers.1.weight", "layers.1.bias"}
    assert weights_sha256(weights) == hashlib.sha256(data).hexdigest()
    by_hand = weights["layers.1.bias"].tobytes() + weights["layers.1.weight"].tobytes()
    assert data == by_hand, "tensors are in the order of their names"


def test_the_hash_of_the_weights_is_that_of_the_weights_only() -> None:
    weights = arrays()
    before = weights_sha256(weights)
    weights["momentum.layers.1.weight"] += 1
    assert weights_sha256(weights) == before
    weights["layers.1.bias"] = -weights["layers.1.bias"]
    assert weights_sha256(weights) != before


def test_the_hash_does_not_depend_on_the_order_of_the_arrays() -> None:
    weights = arrays()
    assert weights_sha256(dict(reversed(weights.items()))) == weights_sha256(weights)


GOOD = encode(checkpoint())
HUGE_HEADER = struct.pack("<Q", 2**60) + GOOD[8:]
NO_METADATA = save(weights_only(arrays()))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, b"garbage" * 50, GOOD[:-1], GOOD[:20], HUGE_HEADER, NO_METADATA],
    ids=["empty", "seven", "garbage", "short", "header only", "huge header", "no metadata"],
)
def test_bytes_that_are_no_checkpoint_are_broken(data: bytes) -> None:
    with pytest.raises(StoreBroken, match="a checkpoint can't be read"):
        decode(data, Cursor(1, 0))


def test_seconds_that_are_no_number_are_broken() -> None:
    data = GOOD.replace(repr(0.1 + 0.2).encode(), b"never-mind".ljust(len(repr(0.1 + 0.2))))
    assert len(data) == len(GOOD)
    with pytest.raises(StoreBroken, match="could not convert"):
        decode(data, Cursor(1, 0))


def test_a_damaged_file_is_broken_before_it_is_parsed(
    checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    saved = checkpoints.save("job", 2, checkpoint())
    path = tmp_path / "jobs" / saved.key
    other = encode(checkpoint(seconds=0.1 + 0.3))
    path.write_bytes(other)
    with pytest.raises(StoreBroken, match="damaged"):
        checkpoints.load(saved)
