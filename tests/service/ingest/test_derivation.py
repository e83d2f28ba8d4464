"""Data sets that are made of others: what stays, what is chosen, and what can go wrong."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.dataset_manifest import Column, ContentDigest, InputForm, Manifest, Resize
from service.ingest.check import Checked, Failed, check_derived
from service.ingest.derivation import Derivation
from service.ingest.limits import Limits
from tests.support.checked_sources import arrays, codes

CLASSES = ("ant", "bee", "cat")
COLUMNS = tuple(Column(f"c{at}", at, at + 2.5) for at in range(5))
FORMS: dict[str, dict[str, Any]] = {
    "grey": {"shape": (4, 6), "invert": True, "resize": Resize.STRETCH},
    "colour": {"shape": (4, 3, 3), "transpose": True},
    "vector": {"shape": (5,), "columns": COLUMNS, "input": InputForm.VECTOR},
    "digit": {"shape": (28, 28), "input": InputForm.DIGIT},
}
ROWS = {"train": 60, "validation": 9, "test": 30}


def stored(folder: Path, rows: dict[str, int], **form: Any) -> Manifest:
    """Write the arrays of a set of bright noise into a folder; return its manifest."""
    folder.mkdir()
    rng, n_in = np.random.default_rng(5), int(np.prod(form["shape"]))
    digest = ContentDigest(form["shape"], CLASSES, rows)
    counts = {}
    for split, size in rows.items():
        images = rng.integers(150, 256, (size, n_in), np.uint8)
        labels = rng.integers(0, 3, size).astype(np.uint8)
        counts[split] = np.bincount(labels, minlength=3).tolist()
        for name, array in (("images", images), ("labels", labels)):
            np.save(folder / f"{split}.{name}.npy", array)
            digest.update(array.tobytes())
    shape = form.pop("shape")
    return Manifest(digest.hexdigest(), shape, CLASSES, counts, **form)


class Maker:
    """Makes data sets of the one in the folder `source`."""

    def __init__(self, place: Path) -> None:
        self.place, self.source = place, place / "source"
        self.made = 0
        self.folder = place

    def __call__(self, manifest: Manifest, **asked: Any) -> Checked:
        self.made += 1
        self.folder = self.place / f"made-{self.made}"
        self.folder.mkdir()
        record = {"dataset": "pets", "split": None, "classes": None, "rows": None, "seed": 1}
        derivation = Derivation.from_record({**record, **asked, "manifest": manifest.as_record()})
        return check_derived(derivation, self.source, self.folder, Limits(), lambda *_: None)

    @property
    def arrays(self) -> dict[str, NDArray[np.uint8]]:
        """The arrays of the set that was made last."""
        return arrays(self.folder)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_of_all_rows_has_the_digest_and_the_form_of_its_source(
    make: Maker, form: str
) -> None:
    manifest = stored(make.source, ROWS, **FORMS[form])
    found = make(manifest)
    assert found.manifest == manifest
    source = arrays(make.source)
    assert source.keys() == make.arrays.keys()
    assert all((source[name] == array).all() for name, array in make.arrays.items())
    assert found.report["found"]["format"] == "dataset"
    assert found.report["found"]["dataset"] == "pets"
    assert found.options["split"] == "given"
    assert found.options["invert"] == manifest.invert
    assert "blank" not in codes(found)


def test_classes_are_kept_in_the_order_in_which_they_are_named(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    found = make(manifest, classes=["cat", "ant"])
    assert found.manifest.classes == ("cat", "ant")
    source = arrays(make.source)
    for split in ROWS:
        labels = source[f"{split}.labels"]
        kept = labels != CLASSES.index("bee")
        assert (make.arrays[f"{split}.images"] == source[f"{split}.images"][kept]).all()
        expected = [{2: 0, 0: 1}[label] for label in labels[kept].tolist()]
        assert make.arrays[f"{split}.labels"].tolist() == expected
    bees = sum(counts[1] for counts in manifest.class_counts.values())
    assert found.report["found"]["ignored"] == {"rows of other classes": bees}


def test_fewer_rows_of_each_class_are_a_part_of_more_and_leave_the_test_set(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    kept = []
    for rows in (5, 9):
        found = make(manifest, rows=rows)
        assert found.manifest.class_counts["train"] == [rows] * 3
        kept.append([image.tobytes() for image in make.arrays["train.images"]])
        assert found.report["found"]["ignored"] == {"training rows beyond `rows`": 60 - 3 * rows}
        for name in ("test.images", "validation.labels"):
            assert (make.arrays[name] == arrays(make.source)[name]).all()
    few, more = kept
    assert set(few) < set(more)
    source = [image.tobytes() for image in arrays(make.source)["train.images"]]
    assert [image for image in source if image in set(more)] == more, "the order stays"
    make(manifest, rows=9, seed=2)
    assert {image.tobytes() for image in make.arrays["train.images"]} != set(more)


def test_more_rows_than_there_are_leave_all(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    found = make(manifest, rows=1000)
    assert found.manifest.sha256 == manifest.sha256
    assert "ignored" not in found.report["found"]


def test_all_rows_are_divided_anew(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    found = make(manifest, split={"test": 0.5, "seed": 4, "stratify": False})
    assert found.manifest.rows == {"train": 49, "test": 50}
    before, after = (
        sorted(row.tobytes() for name, rows in made.items() if "images" in name for row in rows)
        for made in (arrays(make.source), make.arrays)
    )
    assert before == after
    assert found.options["split"] == {"test": 0.5, "seed": 4, "stratify": False}
    limited = make(manifest, split={"test": 0.5}, rows=3)
    assert limited.manifest.class_counts["train"] == [3, 3, 3]
    assert limited.manifest.rows["test"] > 40, "rows are left out after they were divided"


def test_a_set_that_tests_on_its_training_rows_is_divided_without_copies(make: Maker) -> None:
    manifest = stored(make.source, {"train": 60, "test": 60}, **FORMS["grey"])
    for name in ("images", "labels"):
        train = np.load(make.source / f"train.{name}.npy")
        np.save(make.source / f"test.{name}.npy", train)
    found = make(manifest, split={"test": 0.25, "stratify": False})
    assert found.manifest.rows == {"train": 45, "test": 15}
    assert "leak" not in codes(found)


def test_warnings_name_rows_of_the_source(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    train = np.load(make.source / "train.images.npy")
    test = np.load(make.source / "test.images.npy")
    test[7] = train[11]
    np.save(make.source / "test.images.npy", test)
    [leak] = [it for it in make(manifest).report["warnings"] if it["code"] == "leak"]
    assert leak["examples"] == ["row 7 of test equals row 11 of train"]


def test_a_source_that_is_gone_or_damaged_is_told(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    short = np.load(make.source / "test.images.npy")[:-1]
    np.save(make.source / "test.images.npy", short)
    with pytest.raises(Failed, match=r"test\.images\.npy: .* other files"):
        make(manifest)
    (make.source / "train.labels.npy").unlink()
    with pytest.raises(Failed, match="'pets' was deleted") as caught:
        make(manifest)
    assert [flaw.code for flaw in caught.value.flaws] == ["source_gone"]
    assert caught.value.report["errors"][0]["code"] == "source_gone"


def test_nothing_to_train_on_is_told(make: Maker) -> None:
    manifest = stored(make.source, ROWS, **FORMS["grey"])
    np.save(make.source / "train.labels.npy", np.zeros(60, np.uint8))
    with pytest.raises(Failed) as caught:
        make(manifest, classes=["bee"])
    assert [flaw.code for flaw in caught.value.flaws] == ["no_split"]


def test_memory_does_not_grow_with_the_source(make: Maker) -> None:
    manifest = stored(make.source, {"train": 1_000, "test": 10}, shape=(256, 256))
    tracemalloc.start()
    try:
        found = make(manifest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.manifest.sha256 == manifest.sha256
    assert peak < 1_000 * 256 * 256 / 2
