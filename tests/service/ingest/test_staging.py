"""Tests that rows are written to a file, and what is kept of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.ingest import staging
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.preparation import Preparation
from service.ingest.refusal import Unusable, unusable
from service.ingest.source import Block, Source
from service.ingest.staging import Staged, stage
from tests.support.sources import source_of

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (50, 6, 4), np.uint8)
LABELS = [str(row % 3) for row in range(50)]


def staged(source: Source, path: Path, limits: Limits | None = None) -> Staged:
    prepared = Preparation(IngestOptions()).rows
    return stage(source, prepared, path / "rows", limits or Limits(), lambda *_: None)


def test_rows_are_read_again_as_they_were_written(tmp_path: Path) -> None:
    rows = staged(source_of(IMAGES, LABELS), tmp_path)

    assert len(rows) == 50
    assert rows.shape == (6, 4, 1)
    whole = np.concatenate(list(rows.pieces(np.ones(50, np.bool_))))
    assert (whole == IMAGES.reshape(50, 24)).all()


def test_only_the_wanted_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PIECE_BYTES", 24 * 5)
    wanted = np.zeros(50, np.bool_)
    wanted[[3, 4, 49]] = True

    pieces = list(staged(source_of(IMAGES, LABELS), tmp_path).pieces(wanted))

    assert [len(piece) for piece in pieces] == [2, 1]
    assert (np.concatenate(pieces) == IMAGES.reshape(50, 24)[wanted]).all()


def test_labels_and_splits_are_kept_as_codes(tmp_path: Path) -> None:
    source = source_of(IMAGES[:4], ["b", "a", "b", "c"], ["test", None, "train", "validation"])
    rows = staged(source, tmp_path)

    assert [rows.written[code] for code in rows.rows.labels] == ["b", "a", "b", "c"]
    assert rows.rows.splits.tolist() == [2, 3, 0, 1]


def test_equal_images_and_no_others_have_equal_digests(tmp_path: Path) -> None:
    images = IMAGES.copy()
    images[41] = images[2]
    digests = staged(source_of(images, LABELS), tmp_path).rows.digests

    equal = (digests[:, None] == digests[None]).all(axis=2)
    assert np.argwhere(np.triu(equal, 1)).tolist() == [[2, 41]]


def test_white_black_and_blank_pixels_are_counted(tmp_path: Path) -> None:
    images = np.full((3, 2, 3), 100, np.uint8)
    images[0] = [[250, 249, 255], [5, 6, 0]]
    images[1, 0, 0] = 99
    rows = staged(source_of(images, ["a", "b", "c"]), tmp_path)

    assert rows.rows.white.tolist() == [2, 0, 0]
    assert rows.rows.black.tolist() == [2, 0, 0]
    assert rows.rows.blank.tolist() == [False, False, True]
    assert (rows.low, rows.high) == (0, 255)


def test_rows_keep_the_numbers_of_their_source(tmp_path: Path) -> None:
    blocks = [
        Block([1, 5], IMAGES[:2, ..., None], ["a", "b"], [None, None]),
        Block([], IMAGES[:0, ..., None], [], []),
        Block([9], IMAGES[2:3, ..., None], ["a"], [None]),
    ]
    source = Source(lambda: iter(blocks), str, {})

    assert staged(source, tmp_path).rows.numbers.tolist() == [1, 5, 9]


def test_rows_get_the_order_of_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PIECE_BYTES", 24 * 4)
    order = RNG.permutation(50)
    blocks = [
        Block(some.tolist(), IMAGES[some, ..., None], [LABELS[row] for row in some], [None] * 10)
        for some in np.split(order, 5)
    ]
    rows = staged(Source(lambda: iter(blocks), str, {}), tmp_path)

    wanted = np.arange(50) % 3 > 0
    assert rows.rows.numbers.tolist() == list(range(50))
    assert [rows.written[code] for code in rows.rows.labels] == LABELS
    assert (np.concatenate(list(rows.pieces(wanted))) == IMAGES.reshape(50, 24)[wanted]).all()


def test_progress_is_told_after_each_block(tmp_path: Path) -> None:
    told = []
    source = source_of(IMAGES[:20], LABELS, rows_at_once=8)
    stage(
        source,
        Preparation(IngestOptions()).rows,
        tmp_path / "rows",
        Limits(),
        lambda *progress: told.append(progress),
    )

    assert told == [("reading", done, 20) for done in (0, 8, 16, 20)]


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        (Limits(rows=49), "It has more than 49 rows"),
        (Limits(pixel_bytes=50 * 24 - 1), "Its images have more than 1,199 bytes"),
    ],
)
def test_a_set_that_is_too_large_is_refused(tmp_path: Path, limits: Limits, detail: str) -> None:
    with pytest.raises(Unusable, match=detail):
        staged(source_of(IMAGES, LABELS), tmp_path, limits)


def test_a_set_at_the_limits_is_not_refused(tmp_path: Path) -> None:
    limits = Limits(rows=50, pixel_bytes=50 * 24)

    assert len(staged(source_of(IMAGES, LABELS), tmp_path, limits)) == 50


def test_images_of_another_size_are_refused_with_their_place(tmp_path: Path) -> None:
    blocks = [
        Block([0], IMAGES[:1, ..., None], ["a"], [None]),
        Block([1], IMAGES[1:2, 1:, :, None], ["a"], [None]),
    ]
    source = Source(lambda: iter(blocks), lambda row: f"row {row}", {})

    with pytest.raises(Unusable, match=r"^row 1: .* \(6, 4, 1\), and it has \(5, 4, 1\)"):
        staged(source, tmp_path)


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="holds no images"):
        staged(Source(lambda: iter([]), str, {}), tmp_path)


def test_an_error_of_the_reader_is_passed_on(tmp_path: Path) -> None:
    def blocks() -> Iterator[Block]:
        yield Block([0], IMAGES[:1, ..., None], ["a"], [None])
        raise unusable("cut_off", "The file ends too early.")

    with pytest.raises(Unusable, match="ends too early"):
        staged(Source(blocks, str, {}), tmp_path)


def test_very_many_labels_are_refused_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_LABELS", 40)

    with pytest.raises(Unusable, match="more than 40 different labels"):
        staged(source_of(IMAGES, [f"name {row}" for row in range(50)]), tmp_path)
