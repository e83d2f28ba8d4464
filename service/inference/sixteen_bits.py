"""Reads colour PNGs of 16 bits a channel whose levels only reach 255: Pillow keeps the upper bytes.

Programs write such files when they put levels of 8 bits into a wider type.
"""

from collections.abc import Callable

from PIL import Image
from PIL.ImageFile import ImageFile

LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}
"""Pillow's layouts of 16 bits, and those by which the lower bytes can be read instead. Pillow has
none for grey with transparency, but its four bytes can be read as four channels."""


def used_bytes(image: ImageFile, reopened: Callable[[], ImageFile]) -> Image.Image:
    """Return a picture with the lower bytes of its levels if all the upper ones are 0.

    Args:
        image: a file that was opened, but not decoded.
        reopened: opens the same file again.

    """
    layout = image.tile[0].args if image.tile else None
    if not isinstance(layout, str) or layout not in LOWER:
        return image
    *upper, clear = image.convert("RGBA").split()
    if any(channel.getbbox() for channel in upper):
        return image
    again = reopened()
    again.tile = [again.tile[0]._replace(args=LOWER[layout])]
    again.load()
    return again if again.mode == "RGB" else _with_opacity(again, layout, clear)


def _with_opacity(lower: Image.Image, layout: str, opacity: Image.Image) -> Image.Image:
    """Return the lower bytes with the upper bytes of the opacity, unless those are all 0 too."""
    channels = lower.split()
    if layout == "LA;16B":  # each level is an upper and a lower byte
        channels = (channels[1], channels[1], channels[1], channels[3])
    shown = opacity if opacity.getbbox() else channels[3]
    picture = Image.merge("RGBA", (*channels[:3], shown))
    picture.info = dict(lower.info)
    return picture
