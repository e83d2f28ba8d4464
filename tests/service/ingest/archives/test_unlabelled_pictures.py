"""Pictures without labels are refused with what lies beside them, and with a way out that works."""

import json
import re
from pathlib import Path

import pytest

from service.ingest.refusal import Flaw, Unusable
from tests.support.packed_pictures import labels_of, picture, source_of, zipped


def refusal(tmp_path: Path, files: dict[str, bytes]) -> Flaw:
    with pytest.raises(Unusable) as caught:
        source_of(zipped(tmp_path / "data.zip", files))
    (flaw,) = caught.value.flaws
    return flaw


def pictures(*folders: str) -> dict[str, bytes]:
    return {f"{folder}/{n}.jpg": picture(n) for folder in folders for n in range(4)}


COCO = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"bbox": [0, 0, 1, 1]}]}
BOX = b"0 0.5 0.5 0.25 0.25\n3 0.1 0.125 0.2 0.5\n"
VOC = b"<annotation><object><name>cat</name><bndbox/></object></annotation>"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (
            pictures("train/images", "valid/images")
            | {f"{it}/labels/{n}.txt": BOX for it in ("train", "valid") for n in range(4)},
            "train/labels/0.txt",
        ),
        (
            pictures("images/train", "images/val")
            | {f"labels/{it}/{n}.txt": BOX for it in ("train", "val") for n in range(4)},
            "labels/train/0.txt",
        ),
        (
            pictures("JPEGImages") | {f"Annotations/{n}.xml": VOC for n in range(4)},
            "Annotations/0.xml",
        ),
        (
            pictures("train") | {"train/_annotations.coco.json": json.dumps(COCO).encode()},
            "train/_annotations.coco.json",
        ),
    ],
    ids=["Roboflow", "Ultralytics", "VOC", "COCO"],
)
def test_sets_of_boxes_are_no_sets_of_labels(
    tmp_path: Path, files: dict[str, bytes], place: str
) -> None:
    flaw = refusal(tmp_path, files)

    assert (flaw.code, flaw.place) == ("boxes", place)
    assert "classification" in flaw.hint


def test_masks_are_no_class_beside_their_pictures(tmp_path: Path) -> None:
    flaw = refusal(tmp_path, pictures("images", "masks"))

    assert flaw.code == "boxes"
    assert "images and masks" in flaw.detail


def test_texts_beside_pictures_in_folders_of_classes_change_nothing(tmp_path: Path) -> None:
    texts = {f"{it}/{n}.txt": BOX for it in ("cat", "dog") for n in range(4)}

    path = zipped(tmp_path / "data.zip", pictures("cat", "dog") | texts)

    assert {label for _, label in labels_of(path)} == {"cat", "dog"}


def test_empty_texts_beside_pictures_are_no_boxes(tmp_path: Path) -> None:
    texts = {f"images/{n}.txt": b"" for n in range(4)}

    assert refusal(tmp_path, pictures("images") | texts).code == "no_classes"


@pytest.mark.parametrize("folder", ["images", "data", "train/images", "JPEGImages"])
def test_the_only_folder_is_no_class_if_it_is_named_for_pictures_of_any(
    tmp_path: Path, folder: str
) -> None:
    assert refusal(tmp_path, pictures(folder)).code == "no_classes"


@pytest.mark.parametrize("name", ["{}.{}.jpg", "{}_{}.jpg", "train/{}.{}.jpg", "train/{} ({}).jpg"])
def test_the_pattern_in_a_refusal_finds_the_classes_that_names_begin_with(
    tmp_path: Path, name: str
) -> None:
    files = {name.format(it, n): picture(n) for it in ("cat", "Dog") for n in range(4)}

    flaw = refusal(tmp_path, files)

    assert "Dog, cat" in flaw.detail
    found = re.search(r"to (\{.*?\}) if", flaw.hint)
    assert found
    label = json.loads(found[1])
    labels = labels_of(tmp_path / "data.zip", label=label)
    assert sorted(text for _, text in labels) == ["Dog"] * 4 + ["cat"] * 4
