"""Pictures of archives become rows of one size, with labels and splits from their paths."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.domain.dataset_manifest import Resize
from service.inference.image_normalization import mnist_boxes
from service.ingest.pictures import picture_decoding
from service.ingest.refusal import Unusable
from service.ingest.source import Source
from tests.support.drawn_digits import seven
from tests.support.packed_pictures import (
    encoded,
    labels_of,
    packed,
    picture,
    pixels,
    rows_of,
    source_of,
    zipped,
)
from tests.support.picture_bombs import png

ENDINGS = ("zip", "tar", "tar.gz")


def doubts(source: Source) -> dict[str, int]:
    return {doubt.code: doubt.count for doubt in source.doubts}


def read_through(source: Source) -> Source:
    for _ in source.blocks():
        pass
    return source


def refusal(path: Path | list[Path], **options: object) -> Unusable:
    with pytest.raises(Unusable) as caught:
        read_through(source_of(path, **options))
    return caught.value


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_picture_is_a_row_whose_number_its_name_says(tmp_path: Path, ending: str) -> None:
    files = {f"data/{number % 3}/{number}.png": picture(number) for number in (4, 1, 3, 0, 2)}
    source = source_of(packed(tmp_path / f"data.{ending}", files))
    rows = list(rows_of(source))
    assert source.rows == 5
    assert [row for row, *_ in rows] == [4, 1, 3, 0, 2]
    assert [label for *_, label, _ in rows] == ["1", "1", "0", "0", "2"]
    for (row, image, _, _), number in zip(rows, (4, 1, 3, 0, 2), strict=True):
        assert (image[..., 0] == pixels(number)).all()
        assert source.place(row) == f"data/{number % 3}/{number}.png"
    assert source.found["format"] == ending[:3]
    assert source.found["top"] == "data/"
    assert source.found["sizes"] == {"28x28": 5}
    assert source.found["modes"] == {"L": 5}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_source_can_be_read_again_from_the_beginning(tmp_path: Path, ending: str) -> None:
    files = {f"{number % 2}/{number}.png": picture(number, 9, 7) for number in range(6)}
    source = source_of(packed(tmp_path / f"data.{ending}", files))
    first, second = list(rows_of(source)), list(rows_of(source))
    assert len(first) == 6
    for one, other in zip(first, second, strict=True):
        assert (one[1] == other[1]).all()
        assert one[2:] == other[2:]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_the_system_and_empty_folders_are_ignored_and_counted(
    tmp_path: Path, ending: str
) -> None:
    files = {
        "My Data/cat/1.png": picture(1),
        "My Data/dog/2.png": picture(2),
        "My Data/dog/.DS_Store": b"x",
        "My Data/dog/Thumbs.db": b"x",
        "My Data/desktop.ini": b"x",
        "__MACOSX/My Data/dog/._2.png": b"x",
        "My Data/.ipynb_checkpoints/2-checkpoint.png": picture(2),
        "My Data/README.txt": b"words",
    }
    source = source_of(packed(tmp_path / f"data.{ending}", files))
    assert [label for *_, label, _ in rows_of(source)] == ["cat", "dog"]
    assert source.ignored == {"system files": 5, "no picture": 1}


def test_a_folder_without_pictures_is_no_class(tmp_path: Path) -> None:
    files = {"d/cat/1.png": picture(1), "d/dog/1.png": picture(2), "d/empty/": b""}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert {label for *_, label, _ in rows_of(source)} == {"cat", "dog"}
    assert source.ignored == {"empty folders": 1}


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    files = {"data\\cat\\1.png": picture(1), "data\\dog\\2.png": picture(2)}
    assert labels_of(zipped(tmp_path / "data.zip", files)) == [(None, "cat"), (None, "dog")]


def test_names_are_composed_whether_macos_took_them_apart_or_not(tmp_path: Path) -> None:
    files = {"cafe\u0301/1.png": picture(1), "caf\u00e9/2.png": picture(2)}
    assert labels_of(zipped(tmp_path / "data.zip", files)) == [(None, "caf\u00e9")] * 2


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1, format="BMP"), "b/2.jpg": picture(2, format="PNG")}
    rows = list(rows_of(source_of(zipped(tmp_path / "data.zip", files))))
    assert (rows[0][1][..., 0] == pixels(1)).all()
    assert (rows[1][1][..., 0] == pixels(2)).all()


@pytest.mark.parametrize("ending", ENDINGS)
def test_pictures_whose_names_lost_their_suffix_are_known_by_their_bytes(
    tmp_path: Path, ending: str
) -> None:
    files = {"a/1": picture(1), "b/2.dat": picture(2, format="GIF"), "README": b"words"}
    source = source_of(packed(tmp_path / f"data.{ending}", files))
    assert [label for *_, label, _ in rows_of(source)] == ["a", "b"]
    assert source.ignored == {"no picture": 1}


# --- Sizes ---


def test_the_size_that_all_pictures_have_is_kept(tmp_path: Path) -> None:
    files = {f"{n % 2}/{n}.png": picture(n, 20, 35) for n in range(4)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert {image.shape for _, image, *_ in rows_of(source)} == {(20, 35, 1)}
    assert doubts(source) == {}


def test_pictures_of_different_sizes_become_28x28(tmp_path: Path) -> None:
    shapes = [(28, 28), (56, 28), (30, 41)]
    files = {f"{n % 2}/{n}.png": picture(n, *shape) for n, shape in enumerate(shapes)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    rows = list(rows_of(source))
    assert {image.shape for _, image, *_ in rows} == {(28, 28, 1)}
    assert (rows[0][1][..., 0] == pixels(0)).all()
    assert doubts(source) == {"resized": 2}
    assert source.found["sizes"] == {"28x28": 1, "56x28": 1, "30x41": 1}


def test_pictures_that_are_all_too_large_become_28x28(tmp_path: Path) -> None:
    files = {f"{n}/{n}.png": picture(n, 300, 200) for n in range(2)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert {image.shape for _, image, *_ in rows_of(source)} == {(28, 28, 1)}


def test_the_option_size_is_height_and_width(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {f"{n}/{n}.png": picture(n) for n in range(2)})
    source = source_of(path, size=(10, 20), resize=Resize.STRETCH)
    assert {image.shape for _, image, *_ in rows_of(source)} == {(10, 20, 1)}
    assert doubts(source) == {"resized": 2}


def test_a_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {"a/1.png": picture()})
    assert "at most 256x256" in str(refusal(path, size=(28, 257)))


def test_pictures_of_different_sizes_can_be_refused_with_their_names(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "b/2.png": picture(2, 20, 30)}
    found = refusal(zipped(tmp_path / "data.zip", files), resize=Resize.REFUSE)
    assert "b/2.png: It has 20x30 pixels, and a/1.png has 28x28." in str(found)
    found = refusal(tmp_path / "data.zip", resize=Resize.REFUSE, size=(20, 30))
    assert "a/1.png: It has 28x28 pixels, and the set 20x30." in str(found)


def test_a_photo_that_lies_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels(1, 20, 30)).save(file, "PNG", exif=exif)
    files = {"a/1.png": file.getvalue(), "b/2.png": picture(2, 30, 20)}
    rows = list(rows_of(source_of(zipped(tmp_path / "data.zip", files))))
    assert rows[0][1].shape == (30, 20, 1)
    assert (rows[0][1][..., 0] == np.rot90(pixels(1, 20, 30), -1)).all()


# --- Colour and form ---


def test_colours_become_grey_unless_they_are_kept(tmp_path: Path) -> None:
    files = {f"{n}/{n}.png": picture(n, 28, 28, 3) for n in range(2)}
    path = zipped(tmp_path / "data.zip", files)
    grey = [image for _, image, *_ in rows_of(source_of(path))]
    assert [image.shape for image in grey] == [(28, 28, 1)] * 2
    kept = [image for _, image, *_ in rows_of(source_of(path, color="keep"))]
    assert (np.stack(kept) == np.stack([pixels(n, 28, 28, 3) for n in range(2)])).all()


def test_grey_pictures_that_are_stored_in_colour_are_noticed(tmp_path: Path) -> None:
    image = np.repeat(pixels(1)[..., None], 3, axis=2)
    files = {"a/1.png": encoded(image), "b/2.png": picture(2), "b/3.png": picture(3, 28, 28, 3)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert (next(rows_of(source))[1][..., 0] == pixels(1)).all()
    assert doubts(read_through(source)) == {"grey_in_color": 1}
    assert source.found["modes"] == {"RGB": 2, "L": 1}


def test_normalizing_brings_photos_into_mnists_form(tmp_path: Path) -> None:
    photo = np.full((300, 400), 200, np.uint8)
    photo[40:180, 150:290] = np.asarray(seven().resize((140, 140)))
    files = {
        "7/1.jpg": encoded(photo, "JPEG"),
        "0/blank.png": encoded(np.full((9, 9), 3, np.uint8)),
    }
    source = source_of(zipped(tmp_path / "data.zip", files), normalize=True, color="keep")
    images = np.stack([image for _, image, *_ in rows_of(source)])
    assert images.shape == (2, 28, 28, 1)
    assert mnist_boxes(images[:1, ..., 0])[1].all()
    assert not images[1].any()


def test_normalizing_goes_with_no_other_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {"a/1.png": picture()})
    assert "normalize" in str(refusal(path, normalize=True, size=(32, 32)))


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB"])
def test_portable_pixmaps_are_read(tmp_path: Path, mode: str) -> None:
    grey = pixels(1, 20, 30) if mode != "1" else pixels(1, 20, 30) // 128 * 255
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    file = io.BytesIO()
    (wide if mode == "I;16" else Image.fromarray(grey).convert(mode)).save(file, "PPM")
    files = {"a/1.pgm": file.getvalue(), "b/2.png": picture(2, 20, 30)}
    image = next(rows_of(source_of(zipped(tmp_path / "data.zip", files))))[1]
    assert (image == grey[..., None]).all()


def test_portable_pixmaps_may_be_written_as_text(tmp_path: Path) -> None:
    text = b"P2\n# by hand\n3 2\n255\n0 10 20\n30 40 255\n"
    path = zipped(tmp_path / "data.zip", {"a/1.pgm": text})
    assert next(rows_of(source_of(path)))[1][..., 0].tolist() == [[0, 10, 20], [30, 40, 255]]


@pytest.mark.parametrize(
    "data", [b"P5\n20000 20000\n255\n", b"P5\n20 20\n255\nshort", b"P2 3 2 255 1 2 x 4 5 6 7 8"]
)
def test_damaged_portable_pixmaps_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refusal(zipped(tmp_path / "data.zip", {"a/1.pgm": data})).flaws[0].place == "a/1.pgm"


def test_all_pictures_together_may_have_so_many_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_decoding, "MAX_DECODED", 5000)
    path = zipped(tmp_path / "data.zip", {f"{n % 2}/{n}.png": picture(n, 40, 40) for n in range(4)})
    (flaw,) = refusal(path).flaws
    assert (flaw.code, flaw.detail) == ("too_large", "Its pictures have more than 5,000 pixels.")


# --- Damaged and left out ---


@pytest.mark.parametrize("data", [png(0, 5), png(5, 0), png(0, 0), b"P5 0 5 255\n", b"P1 5 0\n"])
def test_pictures_without_pixels_are_damaged_and_do_not_decide_the_size(
    tmp_path: Path, data: bytes
) -> None:
    path = zipped(tmp_path / "a.zip", {"a/1.png": data, "b/1.png": data})

    with pytest.raises(Unusable) as refused:
        list(source_of(path).blocks())

    assert [flaw.code for flaw in refused.value.flaws] == ["undecodable", "undecodable"]


def test_a_few_damaged_pictures_are_left_out_with_their_names(tmp_path: Path) -> None:
    files = {f"{n % 2}/{n}.png": picture(n, 4, 4) for n in range(200)}
    files["0/30.png"] = b""
    files["1/77.png"] = files["1/77.png"][:45]
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert [row for row, *_ in rows_of(source)] == [n for n in range(200) if n not in (30, 77)]
    (doubt,) = source.doubts
    assert (doubt.code, doubt.count) == ("undecodable", 2)
    assert doubt.examples[0] == "0/30.png: The file is empty."
    assert doubt.examples[1].startswith("1/77.png: ")


def test_one_damaged_picture_does_not_fail_a_small_set(tmp_path: Path) -> None:
    files = {f"{n % 2}/{n}.png": picture(n, 4, 4) for n in range(9)} | {"0/bad.png": b"no picture"}
    source = source_of(zipped(tmp_path / "ten.zip", files))
    assert len(list(rows_of(source))) == 9
    assert [doubt.code for doubt in source.doubts] == ["undecodable"]
    del files["0/8.png"]
    assert refusal(zipped(tmp_path / "nine.zip", files)).flaws[0].place == "0/bad.png"


def test_many_damaged_pictures_are_refused_with_their_names(tmp_path: Path) -> None:
    files = {f"{n % 2}/{n}.png": picture(n, 4, 4) for n in range(200)}
    broken = {f"{n % 2}/{n}.png": b"no picture" for n in range(3)}
    flaws = refusal(zipped(tmp_path / "data.zip", files | broken)).flaws
    assert [(flaw.code, flaw.place) for flaw in flaws] == [("undecodable", name) for name in broken]


def test_an_archive_without_pictures_is_refused(tmp_path: Path) -> None:
    assert "no pictures" in str(refusal(zipped(tmp_path / "data.zip", {"a/1.html": b"words"})))


def test_pictures_outside_of_folders_are_left_out_and_listed(tmp_path: Path) -> None:
    files = {"d/a/1.png": picture(1), "d/b/2.png": picture(2), "loose.png": picture(3)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert source.ignored == {"no class": 1}
    assert {doubt.code: doubt.examples for doubt in source.doubts}["no_class"] == ["loose.png"]


def test_many_files_that_are_left_out_raise_a_doubt(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "b/2.png": picture(2)} | {f"{n}.doc": b"x" for n in range(5)}
    source = source_of(zipped(tmp_path / "data.zip", files))
    assert doubts(source) == {"many_ignored": 5}


# --- Several archives ---


def test_two_archives_are_the_splits_that_their_names_say(tmp_path: Path) -> None:
    train = zipped(tmp_path / "letters_train.zip", {f"{c}/1.png": picture(1) for c in "ab"})
    test = packed(tmp_path / "letters_test.tar.gz", {f"x/{c}/2.png": picture(2) for c in "ab"})
    assert labels_of([train, test]) == [
        ("train", "a"),
        ("train", "b"),
        ("test", "a"),
        ("test", "b"),
    ]


def test_an_archive_for_each_class_gives_it_its_name(tmp_path: Path) -> None:
    cats = zipped(tmp_path / "cats.zip", {"1.png": picture(1)})
    dogs = zipped(tmp_path / "dogs.zip", {"1.png": picture(2)})
    assert labels_of([cats, dogs]) == [(None, "cats"), (None, "dogs")]


def test_what_is_wrong_with_one_of_several_archives_names_it(tmp_path: Path) -> None:
    good = zipped(tmp_path / "train.zip", {"a/1.png": picture(1)})
    bad = tmp_path / "test.zip"
    bad.write_bytes(good.read_bytes()[:60])
    assert "test.zip: The archive ends too early" in str(refusal([good, bad]))
