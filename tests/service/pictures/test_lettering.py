"""Lines of text: any name is readable in an SVG, and a PNG shows what its typefaces have."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from service.pictures import lettering, typeface
from service.pictures.lettering import Text, fitted


def inked(line: str, instead: str = "") -> bytes:
    picture = Image.new("RGB", (200, 40))
    lettering.write(picture, [Text(line, 4, 20, 20, instead=instead)], (255, 255, 255))
    return picture.tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """Return the correlation of two pictures."""
    first, second = (np.frombuffer(it, np.uint8).astype(float) for it in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


@pytest.mark.parametrize("line", ["Ж", "crème", "Ω²", "ب", "😀", "naïve Größe"])
def test_letters_that_dejavu_has_are_drawn_and_not_boxes(line: str) -> None:
    picture = Image.new("RGB", (200, 40))
    ImageDraw.Draw(picture).text((4, 20), line, "white", typeface.font(20), "lm")
    assert likeness(inked(line), picture.tobytes()) > 0.98
    assert inked(line) != inked("\N{WHITE SQUARE}" * len(line))


def test_a_line_with_a_letter_that_no_typeface_has_gets_what_stands_in_its_place() -> None:
    assert inked("中文", "7") == inked("7")
    assert inked("中文") == inked("\N{WHITE SQUARE}" * 2)
    assert inked("a中") == inked("a\N{WHITE SQUARE}")
    [element] = lettering.elements([Text("中文", 0, 0, 10, instead="7")])
    assert ">中文<" in element


def test_a_plain_line_keeps_the_letters_that_it_has_always_had() -> None:
    picture = Image.new("RGB", (200, 40))
    ImageDraw.Draw(picture).text(
        (4, 20), "Digit 7 · ±3…", "white", ImageFont.load_default(20), "lm"
    )
    assert likeness(inked("Digit 7 · ±3…"), picture.tobytes()) > 0.98


@pytest.mark.parametrize("line", ["ankle boot and more", "Сапоги и ещё", "短靴和更多的东西"])
@pytest.mark.parametrize("room", [40, 70, 500])
def test_a_line_is_cut_to_its_room(line: str, room: int) -> None:
    cut = fitted(line, 12, room)
    if room == 500:
        assert cut == line
    else:
        assert cut.endswith("…")
        assert line.startswith(cut[:-1].rstrip())
        assert typeface.width(cut, 12) < room * 1.35
