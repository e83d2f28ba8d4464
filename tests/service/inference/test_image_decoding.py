"""Any file is decoded to grey pixels or refused, and takes little time and memory."""

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from service.domain.errors import BadImage
from service.inference import image_decoding, image_formats, image_normalization
from tests.support.drawn_digits import encoded, likeness, normalized, outcome, seven


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF"])
def test_lossless_formats_are_decoded_to_the_same_grey(format: str) -> None:
    grey = np.asarray(seven()).copy()
    assert (image_decoding.decode(encoded(grey, format)) == grey).all()


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_are_decoded_to_nearly_the_same_grey(format: str) -> None:
    grey = np.asarray(seven())
    assert np.abs(image_decoding.decode(encoded(grey, format)).astype(int) - grey).mean() < 3


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_every_colour_mode_becomes_the_same_grey(mode: str) -> None:
    picture = seven()
    grey = image_decoding.decode(
        encoded(picture.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    )
    assert grey.dtype == np.uint8
    assert np.abs(grey.astype(int) - np.asarray(picture)).mean() < 3


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    wide = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    assert (image_decoding.decode(encoded(wide)) == wide // 256).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("ink", [0, 255])
def test_a_drawing_on_a_transparent_canvas_stands_out_from_its_paper(mode: str, ink: int) -> None:
    alpha = seven(ink=255, paper=0)
    drawing = Image.new("LA", alpha.size, (ink, 0))
    drawing.putalpha(alpha)
    grey = image_decoding.decode(encoded(drawing.convert("RGBA").convert(mode)))
    assert grey[0, 0] == 255 - ink
    assert likeness(image_normalization.normalize(grey).pixels, normalized(seven()).pixels) > 0.95


def test_transparent_corners_of_an_opaque_picture_get_the_colour_of_its_paper() -> None:
    picture = seven(paper=200).convert("RGBA")
    alpha = Image.new("L", picture.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, 499, 399), 60, 255)
    picture.putalpha(alpha)
    assert image_decoding.decode(encoded(picture))[0, 0] == 200


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_colours_of_a_grey_picture_are_three_times_its_grey(mode: str) -> None:
    picture = seven(ink=0, paper=255)
    wide = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    colours = image_decoding.decode_colours(
        encoded(wide if mode == "I;16" else picture.convert(mode))
    )
    assert colours.dtype == np.uint8
    assert colours.shape == (*np.asarray(picture).shape, 3)
    assert (colours == colours[..., :1]).all()
    assert np.abs(colours[..., 0].astype(int) - np.asarray(picture)).mean() < 3


def test_colours_are_kept_as_they_are_and_turned_upright() -> None:
    colours = np.random.default_rng(4).integers(0, 256, (9, 7, 3), np.uint8)
    assert (image_decoding.decode_colours(encoded(colours)) == colours).all()
    file, turned = io.BytesIO(), Image.Exif()
    turned[image_decoding.ORIENTATION] = 3  # upside down
    Image.fromarray(colours).save(file, "PNG", exif=turned)
    assert (image_decoding.decode_colours(file.getvalue()) == colours[::-1, ::-1]).all()


@pytest.mark.parametrize(("ink", "paper"), [((0, 0, 120), 255), ((255, 240, 120), 0)])
def test_a_coloured_drawing_on_a_transparent_canvas_keeps_its_colour(
    ink: tuple[int, int, int], paper: int
) -> None:
    drawing = Image.new("RGBA", (500, 400), (*ink, 0))
    drawing.putalpha(seven(ink=255, paper=0).resize((500, 400)))
    colours = image_decoding.decode_colours(encoded(drawing)).reshape(-1, 3)
    assert (colours[0] == paper).all()
    assert (colours == ink).all(axis=1).any()


def test_a_picture_without_any_visible_pixel_is_blank() -> None:
    with pytest.raises(BadImage) as refused:
        normalized(Image.new("RGBA", (100, 100), (255, 0, 0, 0)))
    assert refused.value.code == "blank_image"


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_photograph_is_turned_upright(orientation: int, undo: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = seven().transpose(undo)
    upright = image_decoding.decode(encoded(turned, "PNG", exif=exif))
    assert (upright == np.asarray(seven())).all()


def png_of(width: int, height: int) -> bytes:
    """Return a valid, all-black one-bit PNG of any size; it takes a few kilobytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


# Only the operating system sees Pillow's memory, and only its peak: it runs in its own process.
BOMB = """
import resource, sys
from service.domain.errors import BadImage
from service.inference import image_decoding
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    image_decoding.decode(data)
    print("accepted", end=" ")
except BadImage as refused:
    print(refused.code, end=" ")
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_maxrss - before.ru_maxrss, after.ru_utime - before.ru_utime)
"""


def cost_of_decoding(side: int) -> tuple[str, int, float]:
    """Return the result for a square picture, and the kilobytes and seconds that it took."""
    run = subprocess.run(
        [sys.executable, "-c", BOMB], input=png_of(side, side), capture_output=True, check=True
    )
    code, kilobytes, seconds = run.stdout.decode().split()
    return code, int(kilobytes), float(seconds)


@pytest.mark.parametrize("side", [4001, 9000, 12_000, 30_000])
def test_a_decompression_bomb_is_refused_immediately_and_without_memory(side: int) -> None:
    code, kilobytes, seconds = cost_of_decoding(side)
    assert code == "too_many_pixels"
    assert kilobytes < 16_000
    allowed, _, most = cost_of_decoding(4000)
    assert allowed == "accepted"
    assert seconds < 3 * most


def test_the_largest_allowed_picture_is_decoded_whatever_its_form() -> None:
    assert image_decoding.decode(png_of(2000, 2000)).shape == (2000, 2000)
    with pytest.raises(BadImage, match="stands out"):
        image_normalization.normalize(image_decoding.decode(png_of(4_000_000 // 8, 8)))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_refused(format: str) -> None:
    frames = [seven(), seven(ink=255, paper=0)]
    with pytest.raises(BadImage, match="several frames") as refused:
        image_decoding.decode(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert refused.value.code == "animated_image"


def test_a_phones_photograph_with_an_appended_thumbnail_is_not_an_animation() -> None:
    frames = [seven(), seven(ink=255, paper=0)]
    grey = image_decoding.decode(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert grey[0, 0] > 250


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_half_a_file_is_refused(format: str) -> None:
    data = encoded(seven(), format)
    with pytest.raises(BadImage) as refused:
        image_decoding.decode(data[: len(data) // 2])
    assert refused.value.code == "undecodable_image"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"seven",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n",
    ],
    ids=["empty", "text", "magic", "svg", "eps"],
)
def test_anything_but_an_allowed_picture_is_refused_with_a_hint(data: bytes) -> None:
    with pytest.raises(BadImage, match=r"send|draw|save|Send") as refused:
        image_decoding.decode(data)
    assert refused.value.code in ("undecodable_image", "unsupported_format")
    assert refused.value.__cause__ is None


def test_a_refusal_never_quotes_the_file() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home, 52.5 N 13.4 E"
    data = encoded(seven(), "JPEG", exif=exif)
    with pytest.raises(BadImage) as refused:
        image_decoding.decode(data[:-2000])
    assert "home" not in str(refused.value)


SAMPLES = [
    encoded(seven((40, 40), (8, 8, 30, 34), 4), f)
    for f in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
@example(b"GIF89a")
@example(b"BM")
def test_any_bytes_are_an_image_or_refused(data: bytes) -> None:
    assert_decoded_or_refused(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_any_damaged_picture_is_an_image_or_refused(data: bytes, damage: Any) -> None:
    broken = bytearray(data)
    for place, value in damage:
        broken[place % len(broken)] = value
    assert_decoded_or_refused(bytes(broken))


def assert_decoded_or_refused(data: bytes) -> None:
    grey = outcome(image_decoding.decode, data)
    if not isinstance(grey, str):
        assert grey.dtype == np.uint8
        assert grey.ndim == 2
        assert grey.size <= image_decoding.FULL_PIXELS


# --- TIFF ---


def test_a_tiff_of_several_pages_is_refused() -> None:
    pages = [seven(), seven(ink=255, paper=0)]
    with pytest.raises(BadImage, match="several pages") as refused:
        image_decoding.decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert refused.value.code == "animated_image"


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_may_be_compressed_in_the_usual_ways(compression: str) -> None:
    grey = image_decoding.decode(encoded(seven(), "TIFF", compression=compression))
    assert (grey == np.asarray(seven())).all()


def test_a_scanned_fax_is_read() -> None:
    page = seven().convert("1")
    grey = image_decoding.decode(encoded(page, "TIFF", compression="group4"))
    assert (grey == np.asarray(page) * 255).all()


def test_a_damaged_fax_writes_nothing_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    whole = encoded(Image.new("1", (64, 400)), "TIFF", compression="group3")
    at = 8 if whole[4:8] != b"\x08\0\0\0" else 400
    damaged = whole[:at] + bytes(b ^ 0x5A for b in whole[at : at + 600]) + whole[at + 600 :]
    with suppress(BadImage):
        image_decoding.decode(damaged)
    assert capfd.readouterr().err == ""


def test_a_picture_of_millions_of_rows_is_refused() -> None:
    with pytest.raises(BadImage, match="1,000,000 rows") as refused:
        image_decoding.decode(png_of(1, 4_000_000))
    assert refused.value.code == "too_many_pixels"


@pytest.mark.parametrize("compression", ["jpeg", "zstd", "lzma"])
def test_a_tiff_that_is_compressed_in_another_way_is_refused(compression: str) -> None:
    with pytest.raises(BadImage, match="unusual way") as refused:
        image_decoding.decode(encoded(seven().convert("RGB"), "TIFF", compression=compression))
    assert refused.value.code == "unsupported_format"


# --- HEIC ---


def heic() -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(seven((600, 400)), "HEIF", quality=90)


def test_heic_is_read_if_the_extra_is_installed() -> None:
    grey = image_decoding.decode(heic())
    assert grey.shape == (400, 600)
    expected = np.asarray(seven((600, 400)))
    assert np.abs(grey.astype(int) - expected).mean() < 3


def test_without_the_extra_heic_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    monkeypatch.setattr(image_formats, "reads_heif", lambda: False)
    with pytest.raises(BadImage, match=r"HEIC.*JPEG or PNG.*heic") as refused:
        image_decoding.decode(data)
    assert refused.value.code == "unsupported_format"


def with_odd_exif(fields: int) -> bytes:
    """Return a JPEG whose Exif data has fields that are longer than all of it."""
    entries = b"".join(struct.pack("<HHII", tag + 1, 7, 60_000, 8) for tag in range(fields))
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, fields) + entries + bytes(4)
    plain = encoded(np.asarray(seven()), "JPEG")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def test_odd_fields_of_a_picture_do_not_fill_the_log() -> None:
    """The picture is read in a process of its own, because the tests turn warnings into errors."""
    code = "import sys; from service.inference.image_decoding import decode; "
    code += "print(decode(sys.stdin.buffer.read()).shape)"
    found = subprocess.run(
        [sys.executable, "-c", code], input=with_odd_exif(5000), capture_output=True, check=True
    )
    assert (found.stdout, found.stderr) == (b"(400, 500)\n", b"")
