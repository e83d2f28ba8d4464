"""Tests that Parquet files of Hugging Face's kind are read, where pyarrow is installed."""

import importlib.util
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import UploadedFile
from service.ingest.tables.parquet import read
from tests.support.ingest_files import Images, flaws_of, read_rows, uploaded

refusal = partial(flaws_of, read)

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None,
    reason="pyarrow of the extra [parquet] is not installed",
)


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(images: Images) -> list[dict[str, Any]]:
    """Return a column of pictures as Hugging Face's library writes it."""
    return [{"bytes": png(it), "path": f"{at}.png"} for at, it in enumerate(images.pixels)]


def features(label: str, names: list[str]) -> dict[str, str]:
    """Return the description of the columns as Hugging Face's library writes it."""
    column = {"names": names, "_type": "ClassLabel"}
    found = {"image": {"_type": "Image"}, label: column}
    return {"huggingface": json.dumps({"info": {"features": found}})}


def written(
    path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None, **options: Any
) -> Path:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(columns)
    parquet.write_table(table.replace_schema_metadata(metadata), path, **options)
    return path


@needs_pyarrow
def test_pictures_are_read_with_the_names_of_their_classes(tmp_path: Path, images: Images) -> None:
    names = ["cat", "dog", "eel"]
    path = written(
        tmp_path / "train-00000-of-00001.parquet",
        {"image": pictures(images), "label": images.labels.astype(np.int64)},
        features("label", names),
        row_group_size=5,
    )

    rows = read_rows(read, path)
    source = read(uploaded(path), IngestOptions(), Limits())

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [names[label] for label in images.labels]
    assert rows.splits == ["train"] * 12
    assert list(source.classes) == names
    assert source.rows == 12
    assert source.place(7) == "train-00000-of-00001.parquet, row 7"
    assert read([UploadedFile(path, "")], IngestOptions(), Limits()).place(7) == "row 7"


@needs_pyarrow
@pytest.mark.parametrize(
    "column",
    [
        lambda images: [png(it) for it in images.pixels],
        lambda images: images.pixels.tolist(),
        lambda images: images.pixels.reshape(12, -1).tolist(),
        lambda images: (images.pixels.reshape(12, -1) / 255).tolist(),
    ],
)
def test_images_may_be_files_or_lists_of_pixels(
    tmp_path: Path, images: Images, column: Any
) -> None:
    path = written(tmp_path / "a.parquet", {"x": column(images), "y": images.labels.astype(str)})

    rows = read_rows(read, path, options=IngestOptions(size=(4, 5)))

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(label) for label in images.labels]
    assert rows.splits == [None] * 12


@needs_pyarrow
def test_a_label_of_another_name_is_found_by_its_classes_or_by_the_option(
    tmp_path: Path, images: Images
) -> None:
    columns = {"img": pictures(images), "kind": images.labels.astype(np.int64)}
    described = written(tmp_path / "a.parquet", columns, features("kind", ["a", "b", "c"]))
    plain = written(tmp_path / "b.parquet", columns)

    asked = read_rows(read, plain, options=IngestOptions(label={"column": "kind"}))

    assert set(read_rows(read, described).labels) == {"a", "b", "c"}
    assert asked.labels == [str(label) for label in images.labels]
    assert refusal(plain)[0].code == "no_label"


@needs_pyarrow
def test_files_of_training_and_testing_are_joined(tmp_path: Path, images: Images) -> None:
    columns = {"image": pictures(images), "label": images.labels.astype(np.int64)}
    train = written(tmp_path / "train-00000.parquet", columns)
    test = written(tmp_path / "test-00000.parquet", columns)

    rows = read_rows(read, train, test)
    source = read(uploaded(train, test), IngestOptions(), Limits())

    assert rows.splits == ["train"] * 12 + ["test"] * 12
    assert rows.numbers == list(range(24))
    assert source.place(12) == "test-00000.parquet, row 0"


@needs_pyarrow
@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"a": [1.5, 2.5], "label": [0, 1]}, "not_pixels"),
        ({"image": [b"no picture", b""], "label": [0, 1]}, "undecodable"),
        ({"image": [{"bytes": None, "path": "a.png"}], "label": [0]}, "no_picture"),
        ({"image": [[1, 2, 3, 4], [1, 2, 3]], "label": [0, 1]}, "sizes_differ"),
        ({"image": [[1, 2, 3, 4], [1, 2, 3, None]], "label": [0, 1]}, "not_a_number"),
        ({"image": [["a"], ["b"]], "label": [0, 1]}, "not_a_number"),
        ({"image": [[1, 2, 3, 255], [1, 2, 3, 4]], "label": [0, None]}, "no_label"),
        ({"image": [[0, 2, 3, 900]], "label": [0]}, "not_pixels"),
    ],
)
def test_files_without_images_and_labels_are_refused(
    tmp_path: Path, columns: dict[str, Any], code: str
) -> None:
    path = written(tmp_path / "a.parquet", columns)

    assert refusal(path)[0].code == code


@needs_pyarrow
def test_a_label_that_has_no_name_is_refused_with_its_row(tmp_path: Path, images: Images) -> None:
    labels = images.labels.astype(np.int64)
    labels[7] = -1
    columns = {"image": pictures(images), "label": labels}
    path = written(tmp_path / "a.parquet", columns, features("label", ["a", "b", "c"]))

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == ("no_label", "a.parquet, row 7, column 'label'")


@needs_pyarrow
@pytest.mark.parametrize("size", [4, 12, 200, -10])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, images: Images, size: int) -> None:
    path = written(
        tmp_path / "a.parquet",
        {"image": pictures(images), "label": images.labels.astype(np.int64)},
    )
    path.write_bytes(path.read_bytes()[:size])

    assert refusal(path)[0].code == "damaged"


@needs_pyarrow
def test_more_rows_than_the_limit_are_refused_by_the_description(
    tmp_path: Path, images: Images
) -> None:
    path = written(
        tmp_path / "a.parquet",
        {"image": pictures(images), "label": images.labels.astype(np.int64)},
    )

    assert refusal(path, limits=Limits(rows=11))[0].code == "too_large"


def test_without_pyarrow_the_extra_and_the_line_that_converts_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    (flaw,) = refusal(path)

    assert flaw.code == "not_read"
    assert "pip install 'mlp-service[parquet]'" in flaw.hint
    assert "numpy.savez" in flaw.hint
