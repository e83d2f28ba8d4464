"""Tests of what a person is told about a set that can be used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.ingest.check import Failed
from service.ingest.options import IngestOptions
from tests.support.checked_sources import Check, arrays, codes, noise
from tests.support.own_pictures import write_photos
from tests.support.sources import source_of


def test_white_paper_is_inverted_and_that_is_doubted(checked: Check) -> None:
    images = np.full((40, 8, 8), 255, np.uint8)
    images[np.arange(40), 2 + np.arange(40) % 5, 3] = np.arange(40)

    result = checked(source_of(images, ["a", "b"] * 20, (["train"] * 3 + ["test"]) * 10))

    assert result.manifest.invert
    assert result.report["found"]["inverted"] is True
    assert "inverted" in codes(result)


def test_dark_ink_on_grey_paper_is_doubted_unless_it_is_normalized(
    checked: Check, tmp_path: Path
) -> None:
    write_photos(tmp_path / "photos", each=2)
    files = sorted((tmp_path / "photos").rglob("*.jpg"))
    photos = np.stack([np.asarray(Image.open(file).convert("L")) for file in files])
    labels = [file.parent.name for file in files]

    as_they_are = checked(source_of(photos, labels), IngestOptions(size=(28, 28)))
    (tmp_path / "folder").rename(tmp_path / "as they are")
    normalized = checked(source_of(photos, labels), IngestOptions(normalize=True))

    assert "grey_paper" in codes(as_they_are)
    assert not as_they_are.manifest.invert
    assert "grey_paper" not in codes(normalized)


def test_copies_are_doubted_with_their_places(checked: Check) -> None:
    images = noise(40)
    images[[20, 21]] = images[0]
    images[39] = images[1]
    labels = ["0", "1"] * 20
    splits = ["train"] * 30 + ["test"] * 10

    result = checked(source_of(images, labels, splits))

    doubts = {warning["code"]: warning for warning in result.report["warnings"]}
    assert doubts["leak"]["count"] == 1
    assert doubts["leak"]["examples"] == ["row 39 equals row 1"]
    assert "Of 10 rows to test or validate on, 1 equal" in doubts["leak"]["detail"]
    assert doubts["duplicates"]["examples"] == ["row 20 equals row 0"]
    assert doubts["two_labels"]["examples"] == ["row 21 equals row 0 (1 and 0)"]
    assert result.manifest.rows == {"train": 30, "test": 10}


def test_copies_are_left_out_of_the_training_set_if_asked_for(
    checked: Check, tmp_path: Path
) -> None:
    images = noise(40)
    images[[20, 21]] = images[0]
    images[39] = images[1]

    result = checked(
        source_of(images, ["0", "1"] * 20, ["train"] * 30 + ["test"] * 10),
        IngestOptions(deduplicate=True),
    )

    kept = [row for row in range(30) if row not in (1, 20, 21)]
    written = arrays(tmp_path / "folder")
    assert (written["train.images"] == images[kept].reshape(-1, 64)).all()
    assert len(written["test.images"]) == 10
    assert codes(result)["deduplicated"] == 3
    assert result.report["rows"] == {"train": 27, "test": 10}


def test_a_training_set_of_which_nothing_is_left_is_refused(checked: Check) -> None:
    images = noise(10)
    source = source_of(
        np.concatenate((images, images)), ["0", "1"] * 10, ["train"] * 10 + ["test"] * 10
    )

    with pytest.raises(Failed, match="none is left to train on"):
        checked(source, IngestOptions(deduplicate=True))


def test_classes_without_enough_rows_are_doubted(checked: Check) -> None:
    labels = ["a"] * 300 + ["b"] * 9 + ["c"] * 12 + ["d"] * 3
    splits = ["train"] * 309 + ["train"] * 12 + ["test"] * 3

    result = checked(source_of(noise(324), labels, splits))

    doubts = {warning["code"]: warning for warning in result.report["warnings"]}
    assert doubts["rare_class"]["examples"] == ["b: 9"]
    assert doubts["missing_in_train"]["examples"] == ["d"]
    assert doubts["missing_in_test"]["examples"] == ["a", "b", "c"]
    assert "a has 300 rows to train on, and b 9" in doubts["imbalance"]["detail"]
    assert "sorted_given_split" in doubts


def test_a_single_class_is_doubted(checked: Check) -> None:
    result = checked(source_of(noise(60), ["images"] * 60))

    (warning,) = result.report["warnings"]
    assert (warning["code"], warning["examples"]) == ("one_class", ["images"])


def test_twenty_to_one_is_no_imbalance_yet(checked: Check) -> None:
    labels = ["a"] * 200 + ["b"] * 10 + ["a", "b"]
    splits = ["train"] * 210 + ["test"] * 2

    assert codes(checked(source_of(noise(212), labels, splits))) == {}


def test_blank_and_faint_images_are_doubted(checked: Check) -> None:
    images = noise(40) // 20
    images[5] = 3

    found = codes(checked(source_of(images, ["0", "1"] * 20, (["train"] * 3 + ["test"]) * 10)))

    assert found["blank"] == 1
    assert "cropped_range" in found
