"""Checkpoints as files: tensors by name in safetensors, which nothing ever unpickles."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mlp_core import Checkpoint, Cursor
from service.domain.errors import Damaged
from service.store.files.local import Artifacts

Arrays = Mapping[str, np.ndarray]
Pieces = Iterator[bytes | memoryview]
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint that the database vouches for."""

    job: str
    attempt: int
    epochs_done: int
    batches_done: int
    key: str
    size: int
    sha256: str


def encode(checkpoint: Checkpoint) -> bytes:
    seconds = {"epoch_seconds": repr(checkpoint.epoch_seconds)}
    return bytes(save(dict(checkpoint.arrays), metadata=seconds))


def decode(data: bytes, cursor: Cursor) -> Checkpoint:
    """Return the checkpoint that `encode` wrote.

    Raises:
        Damaged: the bytes are no checkpoint.

    """
    try:
        arrays, header = load(data), _header(data)
        seconds = float(header["__metadata__"]["epoch_seconds"])
    except (SafetensorError, ValueError, KeyError) as exc:
        raise Damaged(f"a checkpoint can't be read: {exc}") from exc
    return Checkpoint(cursor=cursor, arrays=arrays, epoch_seconds=seconds)


def weights_only(arrays: Arrays) -> dict[str, np.ndarray]:
    """Return the tensors of the network, by name, without those of the optimiser."""
    return {name: arrays[name] for name in sorted(arrays) if name.startswith("layers.")}


def weights_safetensors(arrays: Arrays) -> bytes:
    """Return the weights as the file that clients get."""
    return bytes(save(weights_only(arrays)))


def safetensors_pieces(arrays: Arrays) -> Pieces:
    """Yield what `weights_safetensors` returns, without a copy of the weights."""
    weights, header, end = weights_only(arrays), {}, 0
    for name, array in weights.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for array in weights.values():
        yield from _pieces(array)


def npz_pieces(arrays: Arrays) -> Pieces:
    """Yield the weights as an .npz file, without a copy of them."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, array in weights_only(arrays).items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                shape = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(file, shape)
                for piece in _pieces(array):
                    file.write(piece)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where a file is written that can't be gone back in: it leaves by pieces."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _pieces(array: np.ndarray) -> Iterator[memoryview]:
    data = np.ascontiguousarray(array).reshape(-1).data.cast("B")
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def weights_sha256(arrays: Arrays) -> str:
    """Return the SHA-256 over the tensor data of `weights_safetensors`, its header excluded."""
    data = weights_safetensors(arrays)
    return hashlib.sha256(data[8 + _header_size(data) :]).hexdigest()


def _header_size(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


def _header(data: bytes) -> dict[str, dict[str, str]]:
    header: dict[str, dict[str, str]] = json.loads(data[8 : 8 + _header_size(data)])
    return header


class CheckpointStore:
    """Reads and writes the checkpoints of jobs."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def save(self, job: str, attempt: int, checkpoint: Checkpoint) -> CheckpointRef:
        """Write a checkpoint durably; it counts once a row names it."""
        data = encode(checkpoint)
        epochs_done, batches_done = checkpoint.cursor.epochs_done, checkpoint.cursor.batches_done
        key = f"{job}/{attempt}/{epochs_done}-{batches_done}.safetensors"
        sha256 = self._artifacts.put(key, data)
        return CheckpointRef(job, attempt, epochs_done, batches_done, key, len(data), sha256)

    def load(self, saved: CheckpointRef) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: the file is gone, as when a newer one has taken its place.
            Damaged: the file is not what was saved.
            StoreBroken: the file can't be read now.

        """
        data = self._artifacts.get(saved.key, saved.size, saved.sha256)
        return decode(data, Cursor(saved.epochs_done, saved.batches_done))

    def delete(self, key: str) -> None:
        self._artifacts.delete(key)
