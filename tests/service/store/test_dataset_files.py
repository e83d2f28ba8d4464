"""The files of data sets: unpacked once, mapped, laid out for training, checked for damage."""

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
from pathlib import Path

import numpy as np
import pytest

from mlp_core import ARITHMETIC, BLOCK_ROWS, lay_out
from service.domain.dataset_manifest import ContentDigest, Manifest
from service.domain.errors import DatasetGone, StoreBroken
from service.store import data_layouts, shipped_mnist
from service.store import dataset_files as module
from service.store.dataset_files import DatasetFiles
from service.store.durable_files import write_array
from service.store.shipped_mnist import PackedFile
from service.store.stored_dataset import MNIST
from tests.support.stored_datasets import arrays_of, manifest_of, write_staged

TINY = "7" * 64
FILES = tuple(shipped_mnist.FILES)
UNPACK = """
import sys, time
from pathlib import Path
from service.store import dataset_files
from service.store.dataset_files import SHIPPED, DatasetFiles

written = []
write = dataset_files.write_array
dataset_files.write_array = lambda path, data: (written.append(path.name), write(path, data))
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
data = DatasetFiles(Path(sys.argv[1])).open(*SHIPPED)
print(len(written), data.train.images.shape, data.test.labels.shape)
"""


def idx(array: np.ndarray) -> bytes:
    """An IDX file by the format's description: zeros, type, dimensions, sizes, bytes."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a data set of 2x2 pixels, shipped in place of MNIST, to be damaged."""
    folder = tmp_path / "packed"
    folder.mkdir()
    images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    labels = np.array([0, 1, 2, 1, 0], np.uint8)
    files = {}
    for name, array in zip(FILES, (images, labels, images[:2], labels[:2]), strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        files[name] = PackedFile(name, hashlib.sha256(idx(array)).hexdigest())
    counts = {"train": [2, 2, 1], "test": [1, 1, 0]}
    tiny = Manifest(TINY, (2, 2), ("a", "b", "c"), counts)
    monkeypatch.setattr(shipped_mnist, "PACKED", folder)
    monkeypatch.setattr(shipped_mnist, "FILES", files)
    monkeypatch.setattr(module, "SHIPPED", {TINY: tiny})
    return folder


def test_the_data_is_mapped_and_cannot_be_written(dataset_files: DatasetFiles) -> None:
    data = dataset_files.open(MNIST.sha256)
    for split, rows in ((data.train, 60_000), (data.test, 10_000)):
        assert split.images.shape == (rows, 784)
        assert split.labels.shape == (rows,)
        assert isinstance(split.images, np.memmap)
        assert not split.images.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            split.images[0, 0] = 1


def test_the_pixels_and_labels_are_those_of_the_shipped_files(dataset_files: DatasetFiles) -> None:
    data = dataset_files.open(MNIST.sha256)
    files = {
        "train-images-idx3-ubyte": (16, data.train.images),
        "train-labels-idx1-ubyte": (8, data.train.labels),
        "t10k-images-idx3-ubyte": (16, data.test.images),
        "t10k-labels-idx1-ubyte": (8, data.test.labels),
    }
    for name, (header, array) in files.items():
        raw = gzip.decompress((shipped_mnist.PACKED / f"{name}.gz").read_bytes())
        assert hashlib.sha256(raw).hexdigest() == MNIST.files[name]
        assert raw[header:] == array.tobytes()


def test_the_manifest_and_the_digest_fit_the_data(dataset_files: DatasetFiles) -> None:
    data, manifest = dataset_files.open(MNIST.sha256), dataset_files.manifest(MNIST.sha256)
    digest = ContentDigest(manifest.shape, manifest.classes, {"train": 60_000, "test": 10_000})
    for split in (data.train, data.test):
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    assert digest.hexdigest() == MNIST.sha256
    assert manifest.class_counts["train"] == np.bincount(data.train.labels).tolist()
    assert manifest.class_counts["test"] == np.bincount(data.test.labels).tolist()
    assert (manifest.n_in, data.image_shape, data.classes) == (784, (28, 28), 10)


def test_a_digest_without_files_is_gone(dataset_files: DatasetFiles) -> None:
    for use in (dataset_files.open, dataset_files.manifest, dataset_files.data_layout):
        with pytest.raises(DatasetGone, match="has been deleted"):
            use("0" * 64)


@pytest.mark.parametrize("digest", ["", "../x", "0" * 63, "A" * 64, "0" * 64 + "/.."])
def test_what_is_no_digest_names_no_folder(dataset_files: DatasetFiles, digest: str) -> None:
    with pytest.raises(ValueError, match="is no SHA-256"):
        dataset_files.open(digest)


def test_a_data_set_is_opened_once(dataset_files: DatasetFiles) -> None:
    assert dataset_files.open(MNIST.sha256) is dataset_files.open(MNIST.sha256)


def test_a_data_set_that_another_process_has_deleted_is_let_go(tmp_path: Path) -> None:
    arrays = arrays_of(1)
    manifest, here = manifest_of(arrays), DatasetFiles(tmp_path)
    staged = here.stage("ds_1", 1)
    write_staged(staged, arrays, manifest)
    here.add(staged, manifest.sha256)
    mapped = here.open(manifest.sha256)
    DatasetFiles(tmp_path).delete(manifest.sha256)
    with pytest.raises(DatasetGone):
        here.open(manifest.sha256)
    assert mapped.train.labels.tolist() == [0, 1, 2, 0, 1, 2], "who holds it can still read it"


def test_only_the_folder_of_older_versions_goes(tmp_path: Path) -> None:
    for name in ("mnist-c65580678af9", "mnist-0123456789ab", "mnist"):
        (tmp_path / name / "arranged-3-1000").mkdir(parents=True)
    DatasetFiles(tmp_path).delete_older()
    assert {path.name for path in tmp_path.iterdir()} == {"mnist-0123456789ab", "mnist"}


# --- Unpacking ---


def test_a_shipped_data_set_is_unpacked_into_rows(packed: Path, tmp_path: Path) -> None:
    data = DatasetFiles(tmp_path / "new" / "datasets").open(TINY)
    assert data.train.images.tolist()[2] == [8, 9, 10, 11]
    assert data.train.labels.tolist() == [0, 1, 2, 1, 0]
    assert data.test.images.shape == (2, 4)


def test_an_unpacked_data_set_no_longer_needs_the_shipped_files(
    packed: Path, tmp_path: Path
) -> None:
    DatasetFiles(tmp_path / "datasets").open(TINY)
    for file in packed.iterdir():
        file.unlink()
    assert len(DatasetFiles(tmp_path / "datasets").open(TINY).train) == 5


def test_a_file_that_is_missing_is_unpacked_again(packed: Path, tmp_path: Path) -> None:
    DatasetFiles(tmp_path / "datasets").open(TINY)
    [file] = (tmp_path / "datasets").glob(f"sha256-*/{FILES[1]}.npy")
    file.unlink()
    assert DatasetFiles(tmp_path / "datasets").open(TINY).train.labels.tolist() == [
        0,
        1,
        2,
        1,
        0,
    ]


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    overwrite(path, bytes(data))


def shorten(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-9])


def lengthen(path: Path) -> None:
    overwrite(path, path.read_bytes() + b"more")


def another(path: Path) -> None:
    overwrite(path, gzip.compress(idx(np.array([1, 1, 2, 1, 0], np.uint8))))


def garbage(path: Path) -> None:
    overwrite(path, b"not gzip at all")


@pytest.mark.parametrize("harm", [flip, shorten, another, garbage, Path.unlink])
def test_a_damaged_shipped_file_is_broken_and_not_unpacked(
    packed: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    harm(packed / f"{FILES[1]}.gz")
    with pytest.raises(StoreBroken, match="data set mnist"):
        DatasetFiles(tmp_path / "datasets").open(TINY)
    assert [path.stem for path in (tmp_path / "datasets").glob("*/*.npy")] == [FILES[0]]


@pytest.mark.parametrize("harm", [shorten, lengthen, garbage])
def test_a_damaged_unpacked_file_is_broken(
    packed: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    DatasetFiles(tmp_path / "datasets").open(TINY)
    [file] = (tmp_path / "datasets").glob(f"sha256-*/{FILES[0]}.npy")
    harm(file)
    with pytest.raises(StoreBroken, match="data set mnist"):
        DatasetFiles(tmp_path / "datasets").open(TINY)


def test_a_place_that_cannot_be_written_is_broken(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets").touch()
    with pytest.raises(StoreBroken):
        DatasetFiles(tmp_path / "datasets").open(TINY)


def test_a_lock_that_cannot_be_taken_is_broken(packed: Path, tmp_path: Path) -> None:
    DatasetFiles(tmp_path / "datasets").open(TINY)
    [folder] = (tmp_path / "datasets").iterdir()
    shutil.rmtree(folder)
    (folder / ".lock").mkdir(parents=True)
    with pytest.raises(StoreBroken, match="data set mnist"):
        DatasetFiles(tmp_path / "datasets").open(TINY)


def test_concurrent_processes_unpack_once(tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        UNPACK,
        str(tmp_path / "datasets"),
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
    files = DatasetFiles(tmp_path / "datasets")
    expected = lay_out(files.open(TINY)).arrays()
    made = files.data_layout(TINY).arrays()
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "datasets").glob("*/*/*.npy")}
    kept = DatasetFiles(tmp_path / "datasets").data_layout(TINY).arrays()
    assert {file: file.stat().st_mtime_ns for file in times} == times
    for name, array in expected.items():
        assert np.array_equal(made[name], array)
        assert np.array_equal(kept[name], array)
    assert isinstance(kept["images"].base, np.memmap)


def zero(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-16] + bytes(16))


@pytest.mark.parametrize("harm", [shorten, garbage, Path.unlink, zero])
@pytest.mark.parametrize("name", ["order", "train.pixels", "test.widths"])
def test_a_damaged_layout_is_made_again(
    packed: Path, tmp_path: Path, name: str, harm: Callable[[Path], object]
) -> None:
    files = DatasetFiles(tmp_path / "datasets")
    before = {key: array.copy() for key, array in files.data_layout(TINY).arrays().items()}
    [file] = (tmp_path / "datasets").glob(f"*/*/{name}.npy")
    harm(file)
    again = files.data_layout(TINY).arrays()
    if name != "train.pixels" or harm is not zero:  # nobody looks at all pixels each time
        assert np.array_equal(again[name], before[name])


def test_concurrent_callers_make_a_layout_once(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [DatasetFiles(tmp_path / "datasets") for _ in range(3)]
    made = {key: array.copy() for key, array in stores[0].data_layout(TINY).arrays().items()}
    [folder] = (tmp_path / "datasets").glob("*/arranged-*")
    (folder / "images.npy").unlink()
    written: list[Path] = []

    def recorded(path: Path, array: np.ndarray) -> None:
        written.append(path)
        write_array(path, array)

    monkeypatch.setattr(data_layouts, "write_array", recorded)
    with (folder / ".lock").open("w") as lock, ThreadPoolExecutor(3) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [pool.submit(files.data_layout, TINY) for files in stores]
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
    files, rng = DatasetFiles(tmp_path / "datasets"), np.random.default_rng(3)
    before = {key: array.copy() for key, array in files.data_layout(TINY).arrays().items()}
    [file] = (tmp_path / "datasets").glob(f"*/*/{name}.npy")
    whole = file.read_bytes()
    for place, byte in rng.integers([0, 32], [96, 127], (60, 2)).tolist():
        overwrite(file, whole[:place] + bytes([byte]) + whole[place + 1 :])
        for key, array in files.data_layout(TINY).arrays().items():
            assert np.array_equal(array, before[key]), (place, byte)


def test_an_unpacked_file_with_another_byte_in_its_header_is_broken_or_the_same(
    packed: Path, tmp_path: Path
) -> None:
    rng, images = (
        np.random.default_rng(3),
        DatasetFiles(tmp_path / "datasets").open(TINY).train,
    )
    [file] = (tmp_path / "datasets").glob(f"sha256-*/{FILES[0]}.npy")
    whole, found = file.read_bytes(), 0
    for place, byte in rng.integers([0, 32], [96, 127], (60, 2)).tolist():
        overwrite(file, whole[:place] + bytes([byte]) + whole[place + 1 :])
        try:
            again = DatasetFiles(tmp_path / "datasets").open(TINY).train
            assert np.array_equal(again.images, images.images), (place, byte)
        except StoreBroken:
            found += 1
    assert found


def test_a_layout_that_cannot_be_written_is_made_in_memory(
    packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = DatasetFiles(tmp_path / "datasets")
    expected = lay_out(files.open(TINY)).arrays()
    [folder] = (tmp_path / "datasets").iterdir()
    (folder / f"arranged-{ARITHMETIC}-{BLOCK_ROWS}").touch()
    for name, array in files.data_layout(TINY).arrays().items():
        assert np.array_equal(array, expected[name])
    assert "can't be written and is made in memory" in caplog.text
