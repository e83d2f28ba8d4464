"""Writes a picture as SVG: its pixels as one embedded PNG, and its texts as text."""

import base64
from collections.abc import Sequence

from PIL import Image

from service.pictures import lettering, palette, png
from service.pictures.lettering import Text
from service.pictures.palette import Theme

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


def encode(picture: Image.Image, texts: Sequence[Text], theme: Theme) -> bytes:
    """Return an SVG; enlarged, its pixels stay sharp squares."""
    width, height = picture.size
    colour = palette.as_hex(palette.TEXT[theme])
    data = base64.b64encode(png.encode(picture)).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" fill="{colour}">\n'
        f'<image width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{data}"/>\n'
        + "\n".join(lettering.elements(texts))
        + "\n</svg>\n"
    ).encode()
