"""Tests that IDX and NumPy files become labelled images, by the names of their arrays."""

import gzip
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from service.ingest.arrays.array_source import read
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable
from service.ingest.source import UploadedFile
from tests.support.ingest_files import Images, flaws_of, idx, npz, read_rows, uploaded, write_idx

refusal = partial(flaws_of, read)


# --- IDX ---


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte"),
    ],
)
def test_idx_files_are_read_in_both_spellings_packed_or_not(
    tmp_path: Path, images: Images, names: tuple[str, str]
) -> None:
    paths = [
        write_idx(tmp_path / names[0], images.pixels),
        write_idx(tmp_path / names[1], images.labels),
    ]

    rows = read_rows(read, *paths)

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(label) for label in images.labels]
    assert rows.splits == ["train"] * 12


def test_the_four_files_of_mnist_become_one_source_with_the_training_rows_first(
    tmp_path: Path, images: Images
) -> None:
    paths = [
        write_idx(tmp_path / "t10k-images-idx3-ubyte", images.pixels[:5]),
        write_idx(tmp_path / "t10k-labels-idx1-ubyte", images.labels[:5]),
        write_idx(tmp_path / "train-images-idx3-ubyte", images.pixels),
        write_idx(tmp_path / "train-labels-idx1-ubyte", images.labels),
    ]

    source = read(uploaded(*paths), IngestOptions(), Limits())
    rows = read_rows(read, *paths)

    assert rows.splits == ["train"] * 12 + ["test"] * 5
    assert (rows.images[12:, ..., 0] == images.pixels[:5]).all()
    assert rows.numbers == list(range(17))
    assert source.rows == 17
    assert source.place(11) == "train-images-idx3-ubyte, row 11"
    assert source.place(12) == "t10k-images-idx3-ubyte, row 0"
    assert source.found["format"] == "idx"


def test_a_zip_file_of_packed_idx_files_is_read_without_extracting_it(
    tmp_path: Path, images: Images
) -> None:
    path = tmp_path / "mnist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t10k-images-idx3-ubyte.gz", gzip.compress(idx(images.pixels)))
        archive.writestr("t10k-labels-idx1-ubyte", idx(images.labels))
        archive.writestr("README", b"about")

    source = read(uploaded(path), IngestOptions(), Limits())

    assert (read_rows(read, path).images[..., 0] == images.pixels).all()
    assert source.ignored == {"no array": 1}


def test_lengths_in_the_byte_order_of_a_pc_are_told_with_the_line_that_reads_them(
    tmp_path: Path, images: Images
) -> None:
    header = b"\x03\x08\0\0" + np.array(images.pixels.shape, "<u4").tobytes()
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(header + images.pixels.tobytes())

    (flaw,) = refusal(path)

    assert flaw.code == "byte_order"
    assert "(12, 4, 5)" in flaw.detail
    line = flaw.hint.removeprefix("Read the pixels with ").partition(", and save")[0]
    pixels = eval(line, {"numpy": np, "path": path})
    assert (pixels == images.pixels).all()


def test_lengths_in_the_byte_order_of_a_pc_after_a_right_magic_number_are_told(
    tmp_path: Path, images: Images
) -> None:
    header = b"\0\0\x08\x03" + np.array(images.pixels.shape, "<u4").tobytes()
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(header + images.pixels.tobytes())

    (flaw,) = refusal(path)

    assert flaw.code == "byte_order"
    assert "(12, 4, 5)" in flaw.detail


@pytest.mark.parametrize(("change", "code"), [(-3, "cut_off"), (3, "length")])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_shorter_or_longer_than_its_header_says_is_refused(
    tmp_path: Path, images: Images, change: int, code: str, suffix: str
) -> None:
    data = idx(images.pixels)
    data = data[:change] if change < 0 else data + bytes(change)
    path = tmp_path / f"images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    labels = write_idx(tmp_path / "labels-idx1-ubyte", images.labels)

    flaws = refusal(path, labels)

    assert [flaw.code for flaw in flaws] == [code]
    assert flaws[0].place == f"images-idx3-ubyte{suffix} uint8 (12, 4, 5)"


def test_a_download_that_was_cut_off_is_told_even_without_its_labels(
    tmp_path: Path, images: Images
) -> None:
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(images.pixels))[:150])

    assert [flaw.code for flaw in refusal(path)] == ["cut_off", "no_counterpart"]
    with pytest.raises(Unusable) as nameless:
        read([UploadedFile(path, "")], IngestOptions(), Limits())
    assert [flaw.place for flaw in nameless.value.flaws] == ["uint8 (12, 4, 5)"] * 2


def test_labels_that_are_no_one_number_for_each_row_are_told_with_type_and_shape(
    tmp_path: Path,
) -> None:
    path = write_idx(tmp_path / "train-labels-idx2-int", np.full((6, 8), 3, np.int32))

    flaws = refusal(path)

    assert [flaw.code for flaw in flaws] == ["no_counterpart", "no_label"]
    assert flaws[1].place == "train-labels-idx2-int int32 (6, 8)"


# --- npz: names ---


@pytest.mark.parametrize(
    ("x", "y", "split"),
    [
        ("x_train", "y_train", "train"),
        ("X_train", "Y_train", "train"),
        ("Xtrain", "ytrain", "train"),
        ("trainX", "trainY", "train"),
        ("testX", "testy", "test"),
        ("train_images", "train_labels", "train"),
        ("val_images", "val_labels", "validation"),
        ("trainImages", "trainLabels", "train"),
        ("images_test", "labels_test", "test"),
        ("data", "target", None),
        ("images", "labels", None),
        ("arr_0", "arr_1", None),
        ("features", "classes", None),
        ("test_set_x", "test_set_y", "test"),
        ("a", "b", None),
    ],
)
def test_arrays_are_found_by_all_the_names_that_people_use(
    tmp_path: Path, images: Images, x: str, y: str, split: str | None
) -> None:
    path = npz(tmp_path / "set.npz", **{x: images.pixels, y: images.labels})

    rows = read_rows(read, path)

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(label) for label in images.labels]
    assert rows.splits == [split] * 12


def test_names_of_classes_name_the_labels_that_count_from_0(tmp_path: Path, images: Images) -> None:
    names = np.array(["cat", "dog", "eel"])
    path = npz(tmp_path / "a.npz", data=images.pixels, target=images.labels, target_names=names)

    source = read(uploaded(path), IngestOptions(), Limits())

    assert read_rows(read, path).labels == [names[label] for label in images.labels]
    assert source.found["names"] == "target_names"


def test_names_that_are_too_few_for_the_labels_are_not_taken(
    tmp_path: Path, images: Images
) -> None:
    path = npz(tmp_path / "a.npz", x=images.pixels, y=images.labels, classes=np.array(["a", "b"]))

    assert set(read_rows(read, path).labels) == {"0", "1", "2"}


def test_arrays_that_are_neither_are_ignored_and_counted(tmp_path: Path, images: Images) -> None:
    path = npz(
        tmp_path / "a.npz",
        images=images.pixels,
        labels=images.labels,
        writers=np.arange(12),
        description=np.array("made up"),
    )

    source = read(uploaded(path), IngestOptions(), Limits())

    assert source.ignored == {"other arrays": 2}
    assert read_rows(read, path).labels == [str(label) for label in images.labels]


def test_arrays_that_may_both_be_the_images_are_refused(tmp_path: Path, images: Images) -> None:
    path = npz(tmp_path / "a.npz", images=images.pixels, data=images.pixels, labels=images.labels)

    (flaw,) = refusal(path)

    assert flaw.code == "ambiguous_arrays"
    assert "images uint8 (12, 4, 5)" in flaw.detail
    assert "data uint8 (12, 4, 5)" in flaw.detail


def test_npz_files_of_one_split_each_are_joined_by_the_names_of_the_files(
    tmp_path: Path, images: Images
) -> None:
    train = npz(tmp_path / "bangla-training-images.npz", images=images.pixels, labels=images.labels)
    test = npz(
        tmp_path / "bangla-testing-images.npz", images=images.pixels[:3], labels=images.labels[:3]
    )

    source = read(uploaded(test, train), IngestOptions(), Limits())

    assert read_rows(read, test, train).splits == ["train"] * 12 + ["test"] * 3
    assert source.place(12) == "bangla-testing-images.npz/images, row 0"


def test_npy_files_of_images_and_labels_belong_together(tmp_path: Path, images: Images) -> None:
    np.save(tmp_path / "X.npy", images.pixels)
    np.save(tmp_path / "y.npy", images.labels)

    rows = read_rows(read, tmp_path / "X.npy", tmp_path / "y.npy")

    assert (rows.images[..., 0] == images.pixels).all()


@pytest.mark.parametrize(
    ("arrays", "code", "place"),
    [
        ({"x": (12, 4, 5), "y": (11,)}, "rows_differ", "x uint8 (12, 4, 5) and y uint8 (11,)"),
        ({"x_train": (12, 4, 5)}, "no_counterpart", "x_train uint8 (12, 4, 5)"),
        ({"x": (12, 7), "y": (12,)}, "not_images", "x uint8 (12, 7)"),
        ({"x": (12, 6, 5, 2), "y": (12,)}, "not_images", "x uint8 (12, 6, 5, 2)"),
        ({"x": (12, 1, 300, 300), "y": (12,)}, "too_large", "x uint8 (12, 1, 300, 300)"),
        ({"x": (12, 4, 5), "y": (12, 2, 2)}, "no_label", "y uint8 (12, 2, 2)"),
        ({"mean": (3,)}, "no_images", ""),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_key_and_shape(
    tmp_path: Path, arrays: dict[str, tuple[int, ...]], code: str, place: str
) -> None:
    path = npz(tmp_path / "a.npz", **{key: np.ones(s, np.uint8) for key, s in arrays.items()})

    flaws = refusal(path)

    assert (flaws[0].code, flaws[0].place) == (code, place)
