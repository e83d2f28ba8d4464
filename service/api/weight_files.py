"""Writes weights as the files that clients download: safetensors, .npz and JSON.

Safetensors and .npz are not copied: they are sent in pieces as the client reads them, so a slow
client keeps no second network in memory. Each file also describes its network, for whoever finds
it without the service.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

import service
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import Arrays, weights_only

Pieces = Iterator[bytes | memoryview]
PIECE_BYTES = 64 * 1024
METADATA = "__metadata__"
"""The name of the description in a safetensors file, and in JSON."""

Description = dict[str, str]


def description(model: LoadedModel) -> Description:
    """Return what one must know to use a network elsewhere; safetensors allows only text."""
    inputs, *hidden, _ = model.network.sizes
    return {
        "model": model.job,
        "epochs_done": str(model.checkpoint.epochs_done),
        "checkpoint_sha256": model.checkpoint.sha256,
        "dataset": model.dataset,
        "dataset_sha256": model.manifest.sha256,
        "inputs": str(inputs),
        "input_scale": "1/255",
        "hidden": json.dumps(hidden),
        "activation": model.network.activation,
        "output": "softmax",
        "service_version": service.__version__,
    }


def safetensors_pieces(arrays: Arrays, description: Description) -> Pieces:
    """Yield the weights as a safetensors file, byte for byte as the safetensors library writes it.

    Format: https://huggingface.co/docs/safetensors, "Format".
    """
    weights, end = weights_only(arrays), 0
    header: dict[str, Any] = {METADATA: description}
    for name, array in weights.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for array in weights.values():
        yield from _pieces(array)


def npz_pieces(arrays: Arrays, description: Description) -> Pieces:
    """Yield the weights as an .npz file, with the description as a JSON file among the arrays."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(description, indent=1))
        for name, array in weights_only(arrays).items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                shape = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(file, shape)
                for piece in _pieces(array):
                    file.write(piece)
                    yield sink.take()
    yield sink.take()


def json_object(arrays: Arrays, description: Description) -> bytes:
    """Return the weights as a JSON object."""
    tensors = {name: array.tolist() for name, array in weights_only(arrays).items()}
    return json.dumps({METADATA: description, **tensors}, separators=(",", ":")).encode()


class _Sink(io.RawIOBase):
    """A file that is written sequentially, and that hands over its content in pieces."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """Return and forget what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _pieces(array: np.ndarray) -> Iterator[memoryview]:
    data = np.ascontiguousarray(array).reshape(-1).data.cast("B")
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
