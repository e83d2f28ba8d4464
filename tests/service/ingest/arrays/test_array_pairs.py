"""Tests that arrays find their meaning where their own names say nothing."""

from pathlib import Path

import numpy as np
import pytest

from service.ingest.arrays.array_source import read
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable
from service.ingest.source import UploadedFile
from tests.support.ingest_files import Images, read_rows


def saved(path: Path, *arrays: np.ndarray) -> Path:
    """Save arrays that are given no names, as Kuzushiji-MNIST has them."""
    if path.suffix == ".npz":
        np.savez_compressed(path, *arrays)
    else:
        np.save(path, arrays[0])
    return path


def test_arrays_without_names_in_files_of_their_own_are_named_by_the_files(
    tmp_path: Path, images: Images
) -> None:
    paths = [
        saved(tmp_path / "kmnist-train-imgs.npz", images.pixels[:8]),
        saved(tmp_path / "kmnist-train-labels.npz", images.labels[:8]),
        saved(tmp_path / "kmnist-test-imgs.npz", images.pixels[8:]),
        saved(tmp_path / "kmnist-test-labels.npz", images.labels[8:]),
    ]

    rows = read_rows(read, *paths)

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(label) for label in images.labels]
    assert rows.splits == ["train"] * 8 + ["test"] * 4


def test_two_arrays_without_names_in_a_file_are_images_and_labels_whatever_it_is_called(
    tmp_path: Path, images: Images
) -> None:
    rows = read_rows(read, saved(tmp_path / "images.npz", images.pixels, images.labels))

    assert rows.labels == [str(label) for label in images.labels]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("cat.npy", "dog.npy"), ("cat", "dog")),
        (("full_numpy_bitmap_cat.npy", "full_numpy_bitmap_hot dog.npy"), ("cat", "hot dog")),
        (("cat.npz", "catfish.npz"), ("cat", "catfish")),
        (("7.npy", "10.npy"), ("7", "10")),
    ],
)
def test_images_without_labels_in_files_with_names_of_their_own_are_classes(
    tmp_path: Path, images: Images, names: tuple[str, str], classes: tuple[str, str]
) -> None:
    paths = [
        saved(tmp_path / names[0], images.pixels[:7]),
        saved(tmp_path / names[1], images.pixels[7:]),
    ]

    rows = read_rows(read, *paths)

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [classes[0]] * 7 + [classes[1]] * 5
    assert set(rows.splits) == {None}


@pytest.mark.parametrize(
    "names", [("part1.npy", "part2.npy"), ("images_a.npy", "images_b.npy"), ("0a.npy", "1a.npy")]
)
def test_images_that_may_go_on_in_a_second_file_are_no_classes(
    tmp_path: Path, images: Images, names: tuple[str, str]
) -> None:
    paths = [saved(tmp_path / name, images.pixels) for name in names]

    with pytest.raises(Unusable) as caught:
        read_rows(read, *paths)

    assert caught.value.flaws[0].code == "ambiguous_arrays"


def test_test_images_without_labels_are_left_out_and_told(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x_train=images.pixels, y_train=images.labels, x_test=images.pixels[:3])

    source = read([UploadedFile(path, path.name)], IngestOptions(), Limits())

    assert source.rows == 12
    assert [(doubt.code, doubt.examples) for doubt in source.doubts] == [("unlabelled", ["x_test"])]


def test_training_images_without_labels_are_refused(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x_train=images.pixels, x_test=images.pixels, y_test=images.labels)

    with pytest.raises(Unusable) as caught:
        read_rows(read, path)

    assert caught.value.flaws[0].code == "no_counterpart"
