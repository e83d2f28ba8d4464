"""Decodes the pictures of a set, some at a time, and judges those that are damaged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.errors import BadImage
from service.ingest.options import IngestOptions
from service.ingest.pictures.picture_decoding import Decoder, Size
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable
from service.ingest.source import MOST_EXAMPLES, Block, Doubt, Pixels, Source

BLOCK_BYTES = 4 * 1024**2
MOST_UNDECODABLE = 0.01
"""The share of the pictures that may be damaged."""
PICTURES_FOR_ONE = 10
"""From this number of pictures on, a single damaged one does not fail the set."""
MOST_SIZES = 20
"""The largest number of sizes that are listed."""
Row = tuple[int, str, str | None]
"""The number, the label and the split of a picture; its file is not kept."""


@dataclass(frozen=True)
class Picture:
    """The file of a picture, with what is known of it."""

    row: int
    """Its number in the source, counted from 0."""
    place: str
    label: str
    split: str | None
    data: bytes


class PictureBlocks:
    """One pass over the pictures of a set."""

    def __init__(self, count: int, options: IngestOptions, size: Size, source: Source) -> None:
        """Begin.

        Args:
            count: of all pictures.
            options: of the upload.
            size: that pictures are brought to.
            source: is told what the pictures are like.

        """
        self._source = source
        self._total = count
        self._decoder = Decoder(size, options)
        self._size = size
        self._broken: list[Flaw] = []
        self._count = 0

    def of(self, pictures: Iterator[Picture]) -> Iterator[Block]:
        """Yield the pictures, some at a time.

        Raises:
            Unusable: more of them than a few are damaged.

        """
        at_once = max(1, BLOCK_BYTES // (3 * self._size[0] * self._size[1]))
        some: list[Row] = []
        images: list[Pixels] = []
        for picture in pictures:
            image = self._decoded(picture)
            if image is not None:
                some.append((picture.row, picture.label, picture.split))
                images.append(image)
            if len(some) >= at_once:
                yield _block(some, images)
                some, images = [], []
        self._finish()
        if some:
            yield _block(some, images)

    def _decoded(self, picture: Picture) -> Pixels | None:
        try:
            return self._decoder.decoded(picture.data, picture.place)
        except BadImage as exc:
            self._count += 1
            if len(self._broken) < MOST_FLAWS:
                detail = str(exc) if picture.data else "The file is empty."
                self._broken.append(Flaw("undecodable", detail, picture.place))
            if self._count >= MOST_FLAWS:
                self._refuse_broken()
            return None

    def _refuse_broken(self) -> None:
        alone = self._count == 1 and self._total >= PICTURES_FOR_ONE
        if self._count > MOST_UNDECODABLE * self._total and not alone:
            raise Unusable(self._broken)

    def _finish(self) -> None:
        """Judge the damaged pictures, and add what was seen to the source."""
        self._refuse_broken()
        seen = self._decoder.seen
        self._source.found["sizes"] = dict(seen.sizes.most_common(MOST_SIZES))
        self._source.found["modes"] = dict(seen.modes)
        if self._count:
            self._doubt(
                "undecodable",
                f"{self._count:,} of {self._total:,} pictures can't be read, and were left out.",
                self._count,
                [str(flaw) for flaw in self._broken[:MOST_EXAMPLES]],
            )
        if seen.resized:
            size = f"{self._size[0]}x{self._size[1]}"
            self._doubt("resized", f"{seen.resized:,} pictures became {size}.", seen.resized)
        if seen.grey_in_colour:
            count = seen.grey_in_colour
            self._doubt(
                "grey_in_color", f"{count:,} pictures are grey, and stored in colour.", count
            )

    def _doubt(self, code: str, detail: str, count: int, examples: Sequence[str] = ()) -> None:
        if code not in {doubt.code for doubt in self._source.doubts}:
            self._source.doubts.append(Doubt(code, detail, count, list(examples)))


def _block(rows: Sequence[Row], images: Sequence[Pixels]) -> Block:
    numbers, labels, splits = zip(*rows, strict=True)
    return Block(numbers, np.stack(images), labels, splits)
