"""Files are known by their first bytes, and what can't be read is refused by its name."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import BadImage
from service.inference import image_decoding, image_formats
from tests.support.drawn_digits import encoded, mnist, seven


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("seven.png", encoded(seven()))
    return file.getvalue()


OTHERS = {
    "PDF": encoded(seven(), "PDF"),
    "SVG": b'\xef\xbb\xbf  <?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "icon": encoded(seven(), "ICO"),
    "JPEG 2000": encoded(seven(), "JPEG2000"),
    "JPEG XL": b"\xff\x0a" + bytes(100),
    "Photoshop": b"8BPS\0\1" + bytes(30),
    "raw photograph": b"FUJIFILMCCD-RAW " + bytes(30),
    "video": b"\0\0\0\x20ftypisom" + bytes(50),
    "gzip": gzip.compress(encoded(seven())),
    "ZIP": zipped(),
    "HTML": b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "PPM": encoded(seven(), "PPM"),
    "PostScript": encoded(seven(), "EPS"),
    "NumPy": b"\x93NUMPY\1\0" + bytes(100),
    "XML": b"<?xml version='1.0'?><x/>",
    "BigTIFF": encoded(seven(), "TIFF", big_tiff=True),
    "lost bytes": encoded(seven()).translate(None, b"\r\n\0"),
    "text": b"seven",
    "an empty file": b"",
    "no complete picture of a known format": b"\xfe\xdc\xba" + bytes(50),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_not_read_is_refused_by_its_name_with_a_way_out(name: str) -> None:
    with pytest.raises(BadImage, match=name) as refused:
        image_decoding.decode(OTHERS[name])
    assert ": " in str(refused.value)
    assert refused.value.code in ("unsupported_format", "undecodable_image")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_a_picture_is_known_surely_whatever_its_length(format: str) -> None:
    found = image_formats.surely_known(encoded(seven(), format))
    assert found is not None
    assert found.decoder == format


def test_no_raw_picture_is_taken_for_a_file() -> None:
    pictures = np.concatenate([mnist("t10k"), 255 - mnist("t10k")])
    noise = np.random.default_rng(3).integers(0, 256, (20_000, 784), np.uint8)
    raw = [picture.tobytes() for picture in (*pictures, *noise)]
    assert not [data[:12] for data in raw if image_formats.surely_known(data)]


def test_a_raw_picture_may_begin_like_a_short_signature() -> None:
    for start in (b"\x1f\x8b\x08", b"\xff\xd8\xff", b"BM", b"\0\0\1\0", b"P5\n", b"\xff\x0a"):
        assert image_formats.surely_known(start + bytes(784 - len(start))) is None


def test_the_extra_for_heic_is_found() -> None:
    assert image_formats.reads_heif()
    assert "HEIF" in Image.registered_extensions().values()
