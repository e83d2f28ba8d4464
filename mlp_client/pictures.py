"""Pictures that the service draws."""

import os
from pathlib import Path
from typing import Literal

import httpx2

PictureFormat = Literal["png", "svg"]
PNG_START = b"\x89PNG"


class Picture(bytes):
    """The bytes of a PNG or SVG file. A notebook shows the picture."""

    @property
    def format(self) -> PictureFormat:
        """`png` or `svg`."""
        return "png" if self.startswith(PNG_START) else "svg"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture into a file and return its path.

        Raises:
            OSError: the file can't be written.

        """
        target = Path(path)
        target.write_bytes(self)
        return target

    def __repr__(self) -> str:
        return f"<Picture {self.format}, {len(self):,} bytes>"

    __str__ = __repr__  # print() would show all bytes

    def _repr_png_(self) -> bytes | None:
        return bytes(self) if self.format == "png" else None

    def _repr_svg_(self) -> str | None:
        return self.decode() if self.format == "svg" else None


def picture(response: httpx2.Response) -> Picture:
    return Picture(response.content)
