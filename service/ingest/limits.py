"""How large a data set may be."""

from collections.abc import Callable
from dataclasses import dataclass, field


def _no_pulse() -> None:
    pass


@dataclass(frozen=True)
class Limits:
    """The most that a check reads; whatever is larger is refused."""

    rows: int = 1_000_000
    pixel_bytes: int = 1024**3
    """The images of a set may have this many bytes: one for each pixel and channel."""
    unpacked_bytes: int = 4 * 1024**3
    """The files of an archive, the arrays of a file or the text of a table may have this many."""
    side: int = 256
    """Images of a set may have this many pixels on a side."""
    classes: int = 256
    """A set may have this many classes, because a label is one byte."""
    members: int = 200_000
    """An archive may hold this many files."""
    picture_bytes: int = 8 * 1024**2
    """A picture in an archive may have this many bytes once it is unpacked."""
    picture_pixels: int = 4_000_000
    """A picture may have this many pixels before it is made smaller."""
    pulse: Callable[[], None] = field(default=_no_pulse, compare=False)
    """Readers call it every now and then, because a silent check is taken for lost."""
