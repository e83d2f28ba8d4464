"""Collected samples become a set of their own, or further rows of another one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import InputForm, Manifest
from service.inference.input_batch import Sample
from service.inference.labelled_image import LabelledImage
from service.inference.predict import normalized
from service.ingest import collected
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable
from service.ingest.source import Block, Source, UploadedFile
from tests.support.image_requests import encoded

BASE = Manifest(
    "0" * 64,
    (4, 6),
    ("off", "on"),
    {"train": [1, 1], "test": [1, 0]},
    InputForm.IMAGE,
    invert=True,
)


DIGITS = Manifest("0" * 64, (28, 28), ("off", "on"), BASE.class_counts, InputForm.DIGIT)


def written(folder: Path, *samples: LabelledImage) -> list[UploadedFile]:
    files = []
    for at, sample in enumerate(samples):
        path = folder / str(at)
        path.write_bytes(sample.encoded())
        files.append(UploadedFile(path, f"sample {at + 1}"))
    return files


def base_source(manifest: Manifest = BASE) -> Source:
    block = Block(
        [0, 1, 2],
        np.zeros((3, *manifest.shape[:2], manifest.channels), np.uint8),
        ["off", "on", "off"],
        ["train", "train", "test"],
    )
    return Source(
        lambda: iter([block]),
        lambda row: f"row {row}",
        {"format": "dataset"},
        classes=manifest.classes,
    )


def paper(ink: int = 0) -> NDArray[np.uint8]:
    """Return a picture of another size than the base's."""
    picture = np.full((8, 12), 255, np.uint8)
    picture[2:6, 4:8] = ink
    return picture


def rows_of(source: Source) -> list[tuple[int, str, str | None, NDArray[Any]]]:
    return [
        (row, label, split, image)
        for block in source.blocks()
        for row, label, split, image in zip(
            block.rows, block.labels, block.splits, block.images, strict=True
        )
    ]


def added(files: Sequence[UploadedFile], manifest: Manifest = BASE) -> Source:
    return collected.added(base_source(manifest), manifest, files, Limits())


def test_samples_follow_the_rows_of_the_base_as_rows_to_train_on(tmp_path: Path) -> None:
    files = written(tmp_path, LabelledImage("on", paper()), LabelledImage("off", paper(9)))
    source = added(files)
    found = rows_of(source)
    assert [(row, label, split) for row, label, split, _ in found] == [
        (0, "off", "train"),
        (1, "on", "train"),
        (2, "off", "test"),
        (3, "on", "train"),
        (4, "off", "train"),
    ]
    assert [source.place(row) for row in (2, 3, 4)] == ["row 2", "sample 1", "sample 2"]
    assert source.found == {"format": "dataset", "samples": 2}
    assert list(source.classes) == ["off", "on"]


def test_a_picture_is_fitted_and_inverted_as_those_of_the_base_were(tmp_path: Path) -> None:
    png = encoded(paper())
    files = written(tmp_path, LabelledImage("on", png), LabelledImage("on", paper()))
    expected = 255 - np.asarray(Image.fromarray(paper()).resize((6, 4), Image.Resampling.BOX))
    for _, _, _, image in rows_of(added(files))[3:]:
        assert np.array_equal(image[..., 0], expected)


def test_a_row_of_a_data_set_stays_as_it_is(tmp_path: Path) -> None:
    row = np.arange(24, dtype=np.uint8).reshape(4, 6)
    [*_, (_, _, _, image)] = rows_of(added(written(tmp_path, LabelledImage("on", Sample(row)))))
    assert np.array_equal(image[..., 0], row)


def test_a_digit_is_brought_into_the_form_that_predictions_see(tmp_path: Path) -> None:
    drawn = np.full((90, 70), 250, np.uint8)
    drawn[20:60, 30:36] = 10
    [*_, (_, _, _, image)] = rows_of(added(written(tmp_path, LabelledImage("on", drawn)), DIGITS))
    assert np.array_equal(image[..., 0], normalized(DIGITS, [drawn], "auto").pixels[0])
    assert image.max() > 200


def test_colours_keep_their_channels(tmp_path: Path) -> None:
    manifest = Manifest("0" * 64, (4, 6, 3), ("off", "on"), BASE.class_counts, InputForm.IMAGE)
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    [*_, (_, _, _, image)] = rows_of(added(written(tmp_path, LabelledImage("on", red)), manifest))
    assert np.array_equal(image, red)


def test_a_class_that_the_base_lacks_is_refused_with_its_place(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        *(LabelledImage(label, paper()) for label in ("on", "dim", "dark", "dim")),
    )
    with pytest.raises(Unusable) as refused:
        added(files)
    [flaw] = refused.value.flaws
    assert (flaw.code, flaw.place) == ("classes", "sample 3")
    assert "'dark', 'dim'" in flaw.detail
    assert "`classes`" in flaw.hint


def test_samples_that_show_nothing_are_left_out_and_told(tmp_path: Path) -> None:
    blank = LabelledImage("on", np.zeros((40, 40), np.uint8))
    drawn = np.zeros((40, 40), np.uint8)
    drawn[10:30, 18:22] = 255
    source = added(written(tmp_path, blank, LabelledImage("on", drawn)), DIGITS)
    assert [row for row, *_ in rows_of(source)] == [0, 1, 2, 4]
    [doubt] = source.doubts
    assert (doubt.code, doubt.count) == ("undecodable", 1)
    assert doubt.examples[0].startswith("sample 1: ")
    with pytest.raises(Unusable, match="No sample can be used"):
        rows_of(added(written(tmp_path, blank), DIGITS))


def test_samples_alone_are_read_like_pictures(tmp_path: Path) -> None:
    png = encoded(paper())
    files = written(
        tmp_path,
        LabelledImage("a", png),
        LabelledImage("b", paper(9)),
        LabelledImage("a", Sample(paper(30))),
    )
    source = collected.read(files, IngestOptions(), Limits())
    found = rows_of(source)
    assert [(row, label, split) for row, label, split, _ in found] == [
        (0, "a", None),
        (1, "b", None),
        (2, "a", None),
    ]
    for (*_, image), ink in zip(found, (0, 9, 30), strict=True):
        assert np.array_equal(image[..., 0], paper(ink))
    assert source.found["format"] == "samples"
    assert source.place(1) == "sample 2"


def test_no_samples_are_no_set() -> None:
    with pytest.raises(Unusable, match="no samples"):
        collected.read([], IngestOptions(), Limits())
