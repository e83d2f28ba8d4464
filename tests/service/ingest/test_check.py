"""Tests of the whole check: from uploaded files to arrays, manifest, report and options."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.dataset_manifest import ContentDigest, Manifest
from service.ingest.check import Failed, check
from service.ingest.file_kind import FileKind
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions, SplitOption
from service.ingest.readers import READERS
from service.ingest.refusal import unusable
from service.ingest.source import Doubt, Source, UploadedFile
from tests.support.checked_sources import Check, arrays, codes, noise, two_splits
from tests.support.drawn_digits import mnist, mnist_labels
from tests.support.sources import source_of, table_of

RNG = np.random.default_rng(2)


def test_images_and_labels_of_each_split_are_written(checked: Check, tmp_path: Path) -> None:
    images = noise(50)
    labels = [("cat", "dog")[row % 2] for row in range(50)]
    splits = [("train", "test", "validation")[min(row % 5, 2)] for row in range(50)]

    result = checked(source_of(images, labels, splits))

    written = arrays(tmp_path / "folder")
    for split in ("train", "validation", "test"):
        rows = [row for row in range(50) if splits[row] == split]
        assert (written[f"{split}.images"] == images[rows].reshape(-1, 64)).all()
        assert written[f"{split}.labels"].tolist() == [row % 2 for row in rows]
    assert len(written) == 6
    assert result.manifest.rows == {"train": 10, "validation": 30, "test": 10}


def test_the_files_of_a_set_are_arrays_and_manifest_and_can_not_be_written_to(
    checked: Check, tmp_path: Path
) -> None:
    result = checked(two_splits(20, 10))

    files = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert files == [
        "manifest.json",
        "test.images.npy",
        "test.labels.npy",
        "train.images.npy",
        "train.labels.npy",
    ]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()} == {0o444}
    stored = json.loads((tmp_path / "folder" / "manifest.json").read_text())
    assert Manifest.from_record(stored) == Manifest.from_record(
        json.loads(json.dumps(result.manifest.as_record()))
    )


def test_the_digest_is_that_of_shape_classes_and_arrays(checked: Check, tmp_path: Path) -> None:
    result = checked(two_splits(20, 10))

    facts = b'{"classes":["0","1"],"rows":{"test":10,"train":20},"shape":[8,8]}\n'
    content = arrays(tmp_path / "folder")
    parts = ("train.images", "train.labels", "test.images", "test.labels")
    data = b"".join(content[part].tobytes() for part in parts)
    assert result.manifest.sha256 == hashlib.sha256(facts + data).hexdigest()
    assert result.report["sha256"] == result.manifest.sha256


def test_mnist_has_the_digest_of_the_set_that_is_shipped(checked: Check) -> None:
    images = np.concatenate((mnist("train"), mnist("t10k")))
    labels = [str(label) for name in ("train", "t10k") for label in mnist_labels(name)]
    splits = ["train"] * 60_000 + ["test"] * 10_000

    result = checked(source_of(images, labels, splits, rows_at_once=5000))

    digest = ContentDigest((28, 28), map(str, range(10)), {"train": 60_000, "test": 10_000})
    for name in ("train", "t10k"):
        digest.update(mnist(name).tobytes())
        digest.update(mnist_labels(name).astype(np.uint8).tobytes())
    assert result.manifest.sha256 == digest.hexdigest()
    assert result.manifest.sha256 == (
        "f992c9837bf99e29d7ce66f1e4127105534dae2a2ae422a7dac56d6e34c434f4"
    )
    assert result.manifest.input == "digit"
    assert result.report["warnings"] == []
    assert result.report["found"]["mnist_form"] == 1


def test_the_report_tells_rows_shape_and_classes(checked: Check, tmp_path: Path) -> None:
    labels = ["9"] * 12 + ["10"] * 24
    splits = (["train", "train", "test"] * 12)[:36]
    source = source_of(noise(36), labels, splits)
    source.ignored["system files"] = 3
    source.doubts.append(Doubt("index_column", "The first column counts the rows."))

    report = checked(source, IngestOptions(classes={"10": "ten", "11": "eleven"})).report

    assert report["rows"] == {"train": 24, "test": 12}
    assert (report["shape"], report["channels"], report["input"]) == ([8, 8], 1, "image")
    assert report["classes"] == [
        {"index": 0, "name": "9", "source": "9", "train": 8, "test": 4},
        {"index": 1, "name": "ten", "source": "10", "train": 16, "test": 8},
        {"index": 2, "name": "eleven", "source": None, "train": 0, "test": 0},
    ]
    assert report["found"]["ignored"] == {"system files": 3}
    assert report["found"]["format"] == "test"
    assert report["warnings"][0]["code"] == "index_column"
    assert report["bytes"] == 36 * (64 + 1) + 4 * 128  # each file has a header
    assert json.loads(json.dumps(report)) == report


def test_the_options_are_resolved_so_that_they_give_the_same_set_again(
    checked: Check, tmp_path: Path
) -> None:
    images = 255 - noise(40) // 100 * 127
    source = source_of(images, ["a", "b"] * 20)

    first = checked(source)
    (tmp_path / "folder").rename(tmp_path / "first")
    again = checked(source, IngestOptions.from_record(json.loads(json.dumps(first.options))))

    assert first.options["split"] == {"test": 0.2, "seed": 1, "stratify": True}
    assert first.options["classes"] == ["a", "b"]
    assert (first.options["size"], first.options["input"]) == ([8, 8], "image")
    assert again.manifest == first.manifest
    assert again.options == first.options


def test_the_order_of_classes_that_a_source_tells_is_kept(checked: Check) -> None:
    source = source_of(noise(40), ["shirt", "bag"] * 20)
    source.classes = ["shirt", "coat", "bag"]

    assert checked(source).manifest.classes == ("shirt", "coat", "bag")


def test_a_split_of_the_files_that_is_not_used_is_told(checked: Check) -> None:
    source = source_of(noise(40), ["a", "b"] * 20, ["test"] * 40)
    source.found["split"] = "file name"

    found = checked(source).report["found"]

    assert found["split"] == "by chance: 0.2 of each class to test on, seed 1"
    assert found["split_of_files"] == "file name"


def test_without_a_split_all_rows_are_in_both_parts_and_leak_nowhere(
    checked: Check, tmp_path: Path
) -> None:
    result = checked(two_splits(20, 10), IngestOptions(split="none"))

    written = arrays(tmp_path / "folder")
    assert (written["train.images"] == written["test.images"]).all()
    assert result.manifest.rows == {"train": 30, "test": 30}
    assert "leak" not in codes(result)


def test_images_are_brought_to_the_size_that_is_asked_for(checked: Check) -> None:
    result = checked(two_splits(20, 10), IngestOptions(size=(6, 4)))

    assert result.manifest.shape == (6, 4)
    assert codes(result)["resized"] == 30


def test_transposed_images_are_turned(checked: Check, tmp_path: Path) -> None:
    images = RNG.integers(0, 200, (30, 5, 7), np.uint8)
    source = source_of(images, ["0", "1"] * 15, (["train"] * 2 + ["test"]) * 10)

    result = checked(source, IngestOptions(transpose=True))

    assert result.manifest.shape == (7, 5)
    assert result.manifest.transpose
    first = arrays(tmp_path / "folder")["train.images"][0]
    assert (first.reshape(7, 5) == images[0].T).all()


def test_pictures_are_brought_into_mnists_form_if_asked_for(checked: Check) -> None:
    large = np.full((20, 60, 50), 240, np.uint8)
    large[:, 16:44, 11:39] -= mnist("t10k")[:20] // 255 * 200
    large[7] = 240

    result = checked(
        source_of(large, ["0", "1"] * 10, (["train"] * 3 + ["test"]) * 5),
        IngestOptions(normalize=True),
    )

    assert (result.manifest.shape, result.manifest.input) == ((28, 28), "digit")
    assert result.report["found"]["mnist_form"] == pytest.approx(14 / 15, abs=1e-4)
    assert not result.manifest.invert
    assert [warning["count"] for warning in result.report["warnings"] if warning["code"] == "blank"]


def test_a_table_of_numbers_keeps_the_ranges_of_its_columns(checked: Check) -> None:
    values = RNG.normal(size=(40, 3)).astype(np.float32)
    values[39, 0] = 99
    splits = ["train"] * 30 + ["test"] * 10
    result = checked(table_of(values, ["x", "y", "z"], ["a", "b"] * 20, splits))

    assert result.manifest.input == "vector"
    assert [column.name for column in result.manifest.columns] == ["x", "y", "z"]
    assert result.report["shape"] == [3]
    assert codes(result)["cropped_range"] >= 1
    assert result.options["size"] is None


def test_progress_is_told_while_rows_are_read_and_written(checked: Check) -> None:
    told: list[tuple[str, int, int | None]] = []
    checked(two_splits(20, 10), progress=lambda *progress: told.append(progress))

    assert told[0] == ("reading", 0, 30)
    assert ("reading", 30, 30) in told
    assert told[-1] == ("writing", 30, 30)


def test_progress_is_told_again_while_a_reader_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int | None]] = []

    def busy(_: Any, __: Any, limits: Limits) -> Source:
        limits.pulse()
        source = two_splits(20, 10)
        blocks = source.blocks

        def slow_blocks() -> Any:
            for block in blocks():
                yield block
                limits.pulse()

        source.blocks = slow_blocks
        return source

    monkeypatch.setitem(READERS, FileKind.TABLE, busy)
    (tmp_path / "file.csv").write_text("1,2,3\n")
    (tmp_path / "folder").mkdir()
    files = [UploadedFile(tmp_path / "file.csv", "file.csv")]
    check(files, IngestOptions(), tmp_path / "folder", Limits(), lambda *some: told.append(some))

    assert told[:4] == [
        ("reading", 0, None),  # while the file is opened
        ("reading", 0, 30),
        ("reading", 7, 30),
        ("reading", 7, 30),  # while the next block is read
    ]


def test_what_a_reader_unpacks_lies_in_the_folder_and_is_removed(
    tmp_path: Path, checked: Check
) -> None:
    unpacked = []
    source = two_splits(20, 10)
    blocks = source.blocks

    def unpacking() -> Any:
        unpacked.append(Path(tempfile.mkdtemp()))
        yield from blocks()

    source.blocks = unpacking
    before = tempfile.gettempdir()
    checked(source)

    assert tmp_path / "folder" in unpacked[0].parents
    assert not any(path.is_dir() for path in (tmp_path / "folder").iterdir())
    assert tempfile.gettempdir() == before


def test_a_check_that_fails_reports_what_it_has_found(checked: Check) -> None:
    with pytest.raises(Failed) as caught:
        checked(source_of(noise(3), ["a", "b", "c"]), IngestOptions(split=SplitOption()))

    report = caught.value.report
    assert report["errors"][0]["code"] == "too_few_images"
    assert report["found"] == {"format": "test"}
    assert "sha256" not in report


def test_a_file_that_is_no_data_set_is_reported_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_text("<html><body>Not here</body></html>")
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(Failed) as caught:
        check([UploadedFile(path, "train.csv")], IngestOptions(), folder, Limits(), lambda *_: None)

    assert caught.value.report["errors"] == [
        {
            "code": "web_page",
            "detail": "This is a web page, and not the file that was to be downloaded.",
            "place": "train.csv",
            "hint": "Open the address in a browser, and save the file itself.",
        }
    ]
    assert caught.value.report["rows"] == {}


def test_an_error_of_the_reader_ends_the_check(checked: Check) -> None:
    def broken() -> Any:
        raise unusable("cut_off", "The file ends too early.", "line 7")

    with pytest.raises(Failed, match="line 7: The file ends too early"):
        checked(Source(broken, str, {"format": "test"}))
