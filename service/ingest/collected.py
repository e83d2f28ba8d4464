"""Reads labelled samples that were collected one by one, alone or beside the rows of another set.

Alone they go the way of uploaded pictures. Beside the rows of a set they are brought into its form
as the pictures are that its networks are asked about, so that they teach what is asked.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import Manifest
from service.domain.errors import BadImage
from service.inference.input_batch import Sample
from service.inference.labelled_image import LabelledImage, decoded
from service.inference.predict import normalized
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.pictures.picture_blocks import Picture, PictureBlocks
from service.ingest.pictures.picture_decoding import size_of_set
from service.ingest.refusal import unusable
from service.ingest.source import MOST_EXAMPLES, Block, Doubt, Pixels, Source, UploadedFile
from service.ingest.splits import TRAIN

AT_ONCE = 100
MOST_LABELS_SHOWN = 10


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return samples as a set of their own.

    Args:
        files: contents that `LabelledImage.encoded` has made.
        options: of the set.
        limits: of what is read.

    Raises:
        Unusable: there are none.

    """
    if not files:
        raise unusable("empty", "It holds no samples.")

    def pictures() -> Iterator[Picture]:
        for row, file in enumerate(files):
            limits.pulse()
            sample = _read(file)
            yield Picture(row, file.name, sample.label, None, _picture(sample))

    size = size_of_set(lambda: ((it.place, it.data) for it in pictures()), options, limits)
    source = Source(
        blocks=lambda: PictureBlocks(len(files), options, size, source).of(pictures()),
        place=lambda row: files[row].name,
        found={"format": "samples", "samples": len(files)},
        rows=len(files),
    )
    return source


def added(
    base: Source, manifest: Manifest, files: Sequence[UploadedFile], limits: Limits
) -> Source:
    """Return the rows of a set, and after them samples to train on too.

    Args:
        base: the rows of the set, in its form.
        manifest: of that set.
        files: see `read`.
        limits: of what is read.

    Raises:
        Unusable: a sample is of a class that the set does not have.

    """
    _check_labels(files, base.classes)
    first = sum(manifest.rows.values())

    def place(row: int) -> str:
        return base.place(row) if row < first else files[row - first].name

    added_rows = _Added(manifest, files, first, base.doubts, limits)

    def blocks() -> Iterator[Block]:
        yield from base.blocks()
        yield from added_rows.blocks()

    found = {**base.found, "samples": len(files)}
    return Source(blocks, place, found, None, base.ignored, base.doubts, classes=base.classes)


@dataclass(frozen=True)
class _Added:
    """Samples in the form of a set."""

    manifest: Manifest
    files: Sequence[UploadedFile]
    first: int
    """The number of the first one."""
    doubts: list[Doubt]
    limits: Limits

    def blocks(self) -> Iterator[Block]:
        broken: list[str] = []
        for start in range(0, len(self.files), AT_ONCE):
            self.limits.pulse()
            rows, images, labels = [], [], []
            for at, file in enumerate(self.files[start : start + AT_ONCE], start):
                sample = _read(file)
                try:
                    images.append(self._image(sample))
                except BadImage as exc:
                    broken.append(f"{file.name}: {exc}")
                    continue
                rows.append(self.first + at)
                labels.append(sample.label)
            if rows:
                yield Block(rows, np.stack(images), labels, [TRAIN] * len(rows))
        self._judge(broken)

    def _image(self, sample: LabelledImage) -> Pixels:
        batch = normalized(self.manifest, [sample.image], "auto")
        image: Pixels = batch.pixels[0].reshape(*self.manifest.shape[:2], -1)
        return image

    def _judge(self, broken: list[str]) -> None:
        if not broken:
            return
        if len(broken) == len(self.files):
            raise unusable("undecodable", f"No sample can be used; {broken[0]}")
        detail = f"{len(broken):,} of {len(self.files):,} samples can't be used, and were left out."
        self.doubts.append(Doubt("undecodable", detail, len(broken), broken[:MOST_EXAMPLES]))


def _check_labels(files: Sequence[UploadedFile], classes: Sequence[str]) -> None:
    places = {_read(file).label: file.name for file in reversed(files)}
    if unknown := [label for label in places if label not in set(classes)]:
        shown = ", ".join(map(repr, sorted(unknown)[:MOST_LABELS_SHOWN]))
        raise unusable(
            "classes",
            f"The set has no class {shown}.",
            places[min(unknown)],
            "List all classes in their order in the option `classes`, new ones at the end.",
        )


def _read(file: UploadedFile) -> LabelledImage:
    return decoded(file.path.read_bytes())


def _picture(sample: LabelledImage) -> bytes:
    """Return a sample as an encoded picture."""
    if isinstance(sample.image, bytes):
        return sample.image
    pixels = sample.image.pixels if isinstance(sample.image, Sample) else sample.image
    return _png(np.asarray(pixels))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
