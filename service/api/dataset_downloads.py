"""Sends a whole split of a data set as it is stored: as an `.npz` file or CSV, or its labels.

The first two are written while they are sent, some rows at a time, so a set may be larger than the
memory.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from numpy.typing import NDArray

from mlp_core import Split
from service.api.conditional import conditional, streamed
from service.api.dependencies import ServicesDep
from service.api.npy_file import npy_file
from service.api.openapi import file_route
from service.api.sample_choice import DatasetName, DatasetSplit, SplitName, check_split
from service.domain.dataset_manifest import Manifest
from service.store.stored_dataset import DatasetInfo

PIECE_BYTES = 256 * 1024
DIGITS = np.array([str(value) for value in range(256)], dtype=object)
"""The text of each value of a pixel."""

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@dataclass(frozen=True)
class OpenedSplit:
    """A split of a data set, for the answer to a request."""

    info: DatasetInfo
    split: SplitName
    rows: Split
    request: Request
    title: str
    """What the file is called, without its extension."""

    def sent(self, suffix: str, write: Callable[["OpenedSplit"], Iterator[bytes]]) -> Response:
        """Return the answer with the file that `write` makes, unless the client has it already."""
        source = (self.info.sha256, self.split)
        return streamed(self.request, suffix, source, self.title, lambda: write(self))


def opened_split(
    services: ServicesDep, request: Request, name: DatasetName, split: DatasetSplit
) -> OpenedSplit:
    """Open a split for a route that sends all of it."""
    info = services.datasets.describe(name)
    check_split(info, split)
    rows = services.datasets.files.split(info.sha256, split)
    return OpenedSplit(info, split, rows, request, f"{name}-{split}")


@router.get(
    "/{name}/{split}.npz",
    **file_route("npz"),
    name="download_arrays",
    summary="Download a split as arrays",
)
def download_arrays(opened: Annotated[OpenedSplit, Depends(opened_split)]) -> Response:
    """Return an `.npz` file with all images, labels and the names of the classes.

    For the test set the arrays are `x_test`, uint8 (n, height, width), `y_test` and `classes`. The
    files of all splits, sent together, become the same data set again.
    """
    return opened.sent("npz", _npz)


@router.get(
    "/{name}/{split}.csv",
    **file_route("csv"),
    name="download_table",
    summary="Download a split as CSV",
)
def download_table(opened: Annotated[OpenedSplit, Depends(opened_split)]) -> Response:
    """Return CSV with a header: the name of the class of each image, and its pixels from 0 to 255.

    The numbers of a `vector` are scaled, as networks see them.
    """
    return opened.sent("csv", _csv)


@router.get(
    "/{name}/{split}/labels.npy",
    **file_route("npy"),
    name="get_labels",
    summary="Download all labels of a split",
)
def get_labels(request: Request, opened: Annotated[OpenedSplit, Depends(opened_split)]) -> Response:
    """Return an `.npy` file with the label of each row: uint8 (n,)."""
    source = (opened.info.sha256, opened.split, "labels")
    return conditional(request, "npy", source, lambda: npy_file(opened.rows.labels))


def _rows_at_once(manifest: Manifest) -> int:
    return max(1, PIECE_BYTES // manifest.n_in)


# --- Arrays ---------------------------------------------------------------------------------------


class Sink(io.RawIOBase):
    """A file that can only be written, and that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # a buffer
        self._written += view
        return len(view)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        taken, self._written = bytes(self._written), bytearray()
        return taken


def _npz(opened: OpenedSplit) -> Iterator[bytes]:
    info, split, rows = opened.info, opened.split, opened.rows
    sink, step = Sink(), _rows_at_once(info.manifest)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        shape = (len(rows.labels), *info.manifest.shape)
        with _array(archive, f"x_{split}", np.dtype(np.uint8), shape) as file:
            for start in range(0, len(rows.images), step):
                file.write(np.ascontiguousarray(rows.images[start : start + step]).data)
                yield sink.taken()
        _write(archive, f"y_{split}", np.asarray(rows.labels))
        _write(archive, "classes", np.array(info.classes))
    yield sink.taken()


def _array(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...]
) -> IO[bytes]:
    file = archive.open(_member(name), "w", force_zip64=True)
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
    return file


def _member(name: str) -> zipfile.ZipInfo:
    # The time of a member is fixed, so that equal data has equal bytes.
    return zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    with _array(archive, name, array.dtype, array.shape) as file:
        file.write(array.tobytes())


# --- Text -----------------------------------------------------------------------------------------


def _csv(opened: OpenedSplit) -> Iterator[bytes]:
    info, rows = opened.info, opened.rows
    manifest, text = info.manifest, io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = [column.name for column in manifest.columns]
    writer.writerow(["label", *(columns or (f"pixel{at}" for at in range(manifest.n_in)))])
    step = _rows_at_once(manifest) // 4 + 1
    for start in range(0, len(rows.images), step):
        values = DIGITS[rows.images[start : start + step]]
        labels = rows.labels[start : start + step]
        for label, row in zip(labels, values, strict=True):
            writer.writerow([info.classes[label], *row])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
