"""Data sets: unpacked once, mapped, laid out for training, and checked for damage."""

import fcntl
import gzip
import hashlib
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlp_core import ARITHMETIC, BLOCK_ROWS, lay_out
from service.domain.errors import DatasetNotFound, StoreBroken
from service.store import datasets as module
from service.store.datasets import MNIST, DatasetStore
from service.store.durable_files import write_atomic

FILES = tuple(MNIST.sha256)
UNPACK = """
import sys, time
from pathlib import Path
from service.store import datasets
from service.store.datasets import DatasetStore

written = []
write = datasets.write_atomic
datasets.write_atomic = lambda path, data: (written.append(path.name), write(path, data))
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
data = DatasetStore(Path(sys.argv[1])).open("mnist")
print(len(written), data.train.images.shape, data.test.labels.shape)
"""


def idx(array: np.ndarray) -> bytes:
    """An IDX file by the format's description: zeros, type, dimensions, sizes, bytes."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a data set `tiny`, shipped in place of MNIST, to be damaged."""
    folder = tmp_path / "packed"
    folder.mkdir()
    images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    labels = np.array([0, 1, 2, 1, 0], np.uint8)
    digests = {}
    for name, array in zip(FILES, (images, labels, images[:2], labels[:2]), strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        digests[name] = hashlib.sha256(idx(array)).hexdigest()
    tiny = replace(MNIST, name="tiny", image_shape=(2, 2), train_rows=5, sha256=digests)
    monkeypatch.setattr(module, "PACKED", folder)
    monkeypatch.setattr(module, "SHIPPED", {"tiny": tiny})
    return folder


def test_the_data_is_mapped_and_cannot_be_written(dataset_store: DatasetStore) -> None:
    data = dataset_store.open("mnist")
    for split, rows in ((data.train, 60_000), (data.test, 10_000)):
        assert split.images.shape == (rows, 784)
        assert split.labels.shape == (rows,)
        assert isinstance(split.images, np.memmap)
        assert not split.images.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            split.images[0, 0] = 1


def test_the_pixels_and_labels_are_those_of_the_shipped_files(dataset_store: DatasetStore) -> None:
    data = dataset_store.open("mnist")
    files = {
        "train-images-idx3-ubyte": (16, data.train.images),
        "train-labels-idx1-ubyte": (8, data.train.labels),
        "t10k-images-idx3-ubyte": (16, data.test.images),
        "t10k-labels-idx1-ubyte": (8, data.test.labels),
    }
    for name, (header, array) in files.items():
        raw = gzip.decompress((module.PACKED / f"{name}.gz").read_bytes())
        assert hashlib.sha256(raw).hexdigest() == MNIST.sha256[name]
        assert raw[header:] == array.tobytes()


def test_the_description_fits_the_data(dataset_store: DatasetStore) -> None:
    [info], data = dataset_store.all(), dataset_store.open("mnist")
    assert info == dataset_store.describe("mnist")
    assert (info.train_rows, info.test_rows) == (len(data.train), len(data.test))
    assert (info.shape.inputs, info.shape.classes) == (data.n_in, data.classes) == (784, 10)


def test_an_unknown_name_is_not_found(dataset_store: DatasetStore) -> None:
    for name in ("cifar", "../mnist", ""):
        with pytest.raises(DatasetNotFound, match="there are: mnist"):
            dataset_store.open(name)


def test_a_data_set_is_opened_once(dataset_store: DatasetStore) -> None:
    assert dataset_store.open("mnist") is dataset_store.open("mnist")


# --- Unpacking ---


def test_a_shipped_data_set_is_unpacked_into_rows(packed: Path, tmp_path: Path) -> None:
    data = DatasetStore(tmp_path / "new" / "dataset_store").open("tiny")
    assert data.train.images.tolist()[2] == [8, 9, 10, 11]
    assert data.train.labels.tolist() == [0, 1, 2, 1, 0]
    assert data.test.images.shape == (2, 4)


def test_an_unpacked_data_set_no_longer_needs_the_shipped_files(
    packed: Path, tmp_path: Path
) -> None:
    DatasetStore(tmp_path / "dataset_store").open("tiny")
    for file in packed.iterdir():
        file.unlink()
    assert len(DatasetStore(tmp_path / "dataset_store").open("tiny").train) == 5


def test_a_file_that_is_missing_is_unpacked_again(packed: Path, tmp_path: Path) -> None:
    DatasetStore(tmp_path / "dataset_store").open("tiny")
    [file] = (tmp_path / "dataset_store").glob(f"tiny-*/{FILES[1]}.npy")
    file.unlink()
    assert DatasetStore(tmp_path / "dataset_store").open("tiny").train.labels.tolist() == [
        0,
        1,
        2,
        1,
        0,
    ]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def another(path: Path) -> None:
    path.write_bytes(gzip.compress(idx(np.array([1, 1, 2, 1, 0], np.uint8))))


def garbage(path: Path) -> None:
    path.write_bytes(b"not gzip at all")


@pytest.mark.parametrize("harm", [flip, shorten, another, garbage, Path.unlink])
def test_a_damaged_shipped_file_is_broken_and_not_unpacked(
    packed: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    harm(packed / f"{FILES[1]}.gz")
    with pytest.raises(StoreBroken, match="data set tiny"):
        DatasetStore(tmp_path / "dataset_store").open("tiny")
    assert [path.stem for path in (tmp_path / "dataset_store").glob("*/*.npy")] == [FILES[0]]


@pytest.mark.parametrize("harm", [shorten, garbage])
def test_a_damaged_unpacked_file_is_broken(
    packed: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    DatasetStore(tmp_path / "dataset_store").open("tiny")
    [file] = (tmp_path / "dataset_store").glob(f"tiny-*/{FILES[0]}.npy")
    harm(file)
    with pytest.raises(StoreBroken, match="data set tiny"):
        DatasetStore(tmp_path / "dataset_store").open("tiny")


def test_a_place_that_cannot_be_written_is_broken(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset_store").touch()
    with pytest.raises(StoreBroken):
        DatasetStore(tmp_path / "dataset_store").open("tiny")


def test_a_lock_that_cannot_be_taken_is_broken(packed: Path, tmp_path: Path) -> None:
    DatasetStore(tmp_path / "dataset_store").open("tiny")
    [folder] = (tmp_path / "dataset_store").iterdir()
    shutil.rmtree(folder)
    (folder / ".lock").mkdir(parents=True)
    with pytest.raises(StoreBroken, match="data set tiny"):
        DatasetStore(tmp_path / "dataset_store").open("tiny")


def test_concurrent_processes_unpack_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        UNPACK,
        str(tmp_path / "dataset_store"),
        str(go),
    ]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    go.touch()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    lines = [out.split(maxsplit=1) for out, _ in answers]
    assert sorted(int(written) for written, _ in lines) == [0, 0, 4]
    assert {shapes for _, shapes in lines} == {"(60000, 784) (10000,)\n"}


# --- Data layouts ---


def test_the_layout_is_made_once_and_mapped(packed: Path, tmp_path: Path) -> None:
    dataset_store = DatasetStore(tmp_path / "dataset_store")
    expected = lay_out(dataset_store.open("tiny")).arrays()
    made = dataset_store.data_layout("tiny").arrays()
    times = {
        file: file.stat().st_mtime_ns for file in (tmp_path / "dataset_store").glob("*/*/*.npy")
    }
    kept = DatasetStore(tmp_path / "dataset_store").data_layout("tiny").arrays()
    assert {file: file.stat().st_mtime_ns for file in times} == times
    for name, array in expected.items():
        assert np.array_equal(made[name], array)
        assert np.array_equal(kept[name], array)
    assert isinstance(kept["images"].base, np.memmap)


def zero(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-16] + bytes(16))


@pytest.mark.parametrize("harm", [shorten, garbage, Path.unlink, zero])
@pytest.mark.parametrize("name", ["order", "train.pixels", "test.widths"])
def test_a_damaged_layout_is_made_again(
    packed: Path, tmp_path: Path, name: str, harm: Callable[[Path], object]
) -> None:
    dataset_store = DatasetStore(tmp_path / "dataset_store")
    before = {
        key: array.copy() for key, array in dataset_store.data_layout("tiny").arrays().items()
    }
    [file] = (tmp_path / "dataset_store").glob(f"*/*/{name}.npy")
    harm(file)
    again = dataset_store.data_layout("tiny").arrays()
    if name != "train.pixels" or harm is not zero:  # nobody looks at all pixels each time
        assert np.array_equal(again[name], before[name])


def test_concurrent_callers_make_a_layout_once(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [DatasetStore(tmp_path / "dataset_store") for _ in range(3)]
    made = {key: array.copy() for key, array in stores[0].data_layout("tiny").arrays().items()}
    [folder] = (tmp_path / "dataset_store").glob("*/arranged-*")
    (folder / "images.npy").unlink()
    written: list[Path] = []

    def recorded(path: Path, data: bytes) -> None:
        written.append(path)
        write_atomic(path, data)

    monkeypatch.setattr(module, "write_atomic", recorded)
    with (folder / ".lock").open("w") as lock, ThreadPoolExecutor(3) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [pool.submit(store.data_layout, "tiny") for store in stores]
        time.sleep(0.2)  # now all have seen that a file is missing, and wait for the lock
        assert not written
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert len(written) == len(made)
    for layout in found:
        assert np.array_equal(layout.result().images, made["images"])


@pytest.mark.parametrize("name", ["order", "images", "train.columns", "test.labels"])
def test_a_header_with_another_byte_is_harmless_or_made_again(
    packed: Path, tmp_path: Path, name: str
) -> None:
    """NumPy reads headers as Python, so that a byte may raise nearly anything."""
    dataset_store, rng = DatasetStore(tmp_path / "dataset_store"), np.random.default_rng(3)
    before = {
        key: array.copy() for key, array in dataset_store.data_layout("tiny").arrays().items()
    }
    [file] = (tmp_path / "dataset_store").glob(f"*/*/{name}.npy")
    whole = file.read_bytes()
    for place, byte in rng.integers([0, 32], [96, 127], (60, 2)).tolist():
        file.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        for key, array in dataset_store.data_layout("tiny").arrays().items():
            assert np.array_equal(array, before[key]), (place, byte)


def test_an_unpacked_file_with_another_byte_in_its_header_is_broken_or_the_same(
    packed: Path, tmp_path: Path
) -> None:
    rng, images = (
        np.random.default_rng(3),
        DatasetStore(tmp_path / "dataset_store").open("tiny").train,
    )
    [file] = (tmp_path / "dataset_store").glob(f"tiny-*/{FILES[0]}.npy")
    whole, found = file.read_bytes(), 0
    for place, byte in rng.integers([0, 32], [96, 127], (60, 2)).tolist():
        file.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        try:
            again = DatasetStore(tmp_path / "dataset_store").open("tiny").train
            assert np.array_equal(again.images, images.images), (place, byte)
        except StoreBroken:
            found += 1
    assert found


def test_a_layout_that_cannot_be_written_is_made_in_memory(
    packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset_store = DatasetStore(tmp_path / "dataset_store")
    expected = lay_out(dataset_store.open("tiny")).arrays()
    [folder] = (tmp_path / "dataset_store").iterdir()
    (folder / f"arranged-{ARITHMETIC}-{BLOCK_ROWS}").touch()
    for name, array in dataset_store.data_layout("tiny").arrays().items():
        assert np.array_equal(array, expected[name])
    assert "can't be written and is made in memory" in caplog.text
