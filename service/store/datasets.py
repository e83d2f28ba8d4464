"""Data sets ship with the package, are unpacked once, and are then shared by memory mapping."""

import contextlib
import fcntl
import gzip
import hashlib
import io
import logging
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from mlp_core import (
    ARITHMETIC,
    BLOCK_ROWS,
    DataLayout,
    Dataset,
    DatasetError,
    Split,
    lay_out,
    read_idx,
)
from service.domain.dataset_shape import Shape
from service.domain.errors import DatasetNotFound, StoreBroken
from service.store.durable_files import make_directory, write_atomic

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a data set, which does not need its files."""

    name: str
    description: str
    image_shape: tuple[int, int]
    classes: list[str]
    train_rows: int
    test_rows: int
    class_counts: dict[str, list[int]]
    """The number of images of each class, in the order of the labels, by split."""
    sha256: dict[str, str]
    """Digests by the names of the unpacked IDX files."""
    license: str
    attribution: str

    @property
    def shape(self) -> Shape:
        rows, columns = self.image_shape
        return Shape(rows * columns, len(self.classes), self.train_rows, self.test_rows)


MNIST = DatasetInfo(
    name="mnist",
    description="Handwritten digits, white on black, 28x28 grey pixels.",
    image_shape=(28, 28),
    classes=[str(digit) for digit in range(10)],
    train_rows=60_000,
    test_rows=10_000,
    class_counts={
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    },
    sha256={
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    license="CC BY-SA 3.0",
    attribution=(
        "Yann LeCun and Corinna Cortes hold the copyright of MNIST, "
        "which is derived from the original NIST data sets."
    ),
)
SHIPPED = {MNIST.name: MNIST}
PACKED = Path(__file__).parent / "mnist"

BAD_FILE = (EOFError, ValueError, SyntaxError, TokenError, BadZipFile)
"""Errors that NumPy raises for a damaged file, because it reads the header as Python."""
NOT_WHOLE = (FileNotFoundError, *BAD_FILE, DatasetError)
"""Errors that a missing or damaged data layout raises."""


class DatasetStore:
    """The data sets by name. All workers map their unpacked files, which are in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._open: dict[str, Dataset] = {}
        self._lock = threading.Lock()

    def all(self) -> list[DatasetInfo]:
        """Return the descriptions of all data sets."""
        return list(SHIPPED.values())

    def describe(self, name: str) -> DatasetInfo:
        """Return the description of the data set `name`.

        Raises:
            DatasetNotFound: there is no data set of that name.

        """
        if name not in SHIPPED:
            raise DatasetNotFound(name, sorted(SHIPPED))
        return SHIPPED[name]

    def open(self, name: str) -> Dataset:
        """Return the data set, memory-mapped; the first call on a machine unpacks it.

        Raises:
            DatasetNotFound: there is no data set of that name.
            StoreBroken: its files are damaged, or can't be read or written.

        """
        with self._lock:
            if name not in self._open:
                self._open[name] = self._map(self.describe(name))
            return self._open[name]

    def data_layout(self, name: str) -> DataLayout:
        """Return the layout of a data set, memory-mapped; the first call on a machine makes it.

        If it can't be written, it is made in memory: it only saves time.

        Raises:
            DatasetNotFound: there is no data set of that name.
            StoreBroken: the data set's files are damaged, or can't be read or written.

        """
        dataset, info = self.open(name), self.describe(name)
        # Layouts of other versions give other bits, or are cut into other blocks.
        folder = self._folder(info) / f"arranged-{ARITHMETIC}-{BLOCK_ROWS}"
        try:
            with contextlib.suppress(*NOT_WHOLE):
                return _mapped_layout(folder)
            with _locked(folder):
                return _made_layout(folder, dataset)
        except (OSError, StoreBroken) as exc:
            logger.warning(
                "the data layout of %s can't be written and is made in memory: %s", name, exc
            )
            return lay_out(dataset)

    def _map(self, info: DatasetInfo) -> Dataset:
        folder = self._folder(info)
        with _broken_if_it_fails(info):
            if not all((folder / f"{name}.npy").exists() for name in info.sha256):
                _unpack(info, folder)
            train_images, train_labels, test_images, test_labels = _mapped(folder, info.sha256)
        return Dataset(
            name=info.name,
            train=Split(images=train_images, labels=train_labels),
            test=Split(images=test_images, labels=test_labels),
            classes=len(info.classes),
            image_shape=info.image_shape,
        )

    def _folder(self, info: DatasetInfo) -> Path:
        # The digests name the folder, so a file of another version is never mistaken for this one.
        version = hashlib.sha256("".join(info.sha256.values()).encode()).hexdigest()[:12]
        return self._directory / f"{info.name}-{version}"


@contextlib.contextmanager
def _broken_if_it_fails(info: DatasetInfo) -> Iterator[None]:
    try:
        yield
    except (OSError, *BAD_FILE, zlib.error) as exc:
        raise StoreBroken(f"the data set {info.name} can't be read: {exc}") from exc


def _mapped(folder: Path, names: Iterable[str]) -> list[np.ndarray]:
    return [np.load(folder / f"{name}.npy", "r", allow_pickle=False) for name in names]


def _mapped_layout(folder: Path) -> DataLayout:
    names = DataLayout.ARRAY_NAMES
    return DataLayout.from_arrays(dict(zip(names, _mapped(folder, names), strict=True)))


def _made_layout(folder: Path, dataset: Dataset) -> DataLayout:
    """Return the layout; make it first, unless another process has just done so."""
    try:
        return _mapped_layout(folder)
    except NOT_WHOLE:
        for name, array in lay_out(dataset).arrays().items():
            write_atomic(folder / f"{name}.npy", _npy(array))
        return _mapped_layout(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock: only one process writes there at a time."""
    make_directory(folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(info: DatasetInfo, folder: Path) -> None:
    """Write the files that are not in `folder` yet; of concurrent processes, only one does so."""
    with _locked(folder):
        for name in info.sha256:
            path = folder / f"{name}.npy"
            if not path.exists():
                write_atomic(path, _npy(_unpacked(info, name)))


def _unpacked(info: DatasetInfo, name: str) -> np.ndarray:
    data = gzip.decompress((PACKED / f"{name}.gz").read_bytes())
    if hashlib.sha256(data).hexdigest() != info.sha256[name]:
        raise StoreBroken(
            f"the file {name}.gz of the data set {info.name} is damaged; install the package again"
        )
    array = read_idx(data)
    return array.reshape(len(array), -1) if array.ndim > 1 else array


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
