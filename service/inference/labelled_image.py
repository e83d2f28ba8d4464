"""A labelled image as a file: a line of JSON that says what follows, and the bytes of the image.

So an image is kept as it was sent, and can later be brought into the form of any network as it
would have been on the way into a prediction.
"""

import json
from dataclasses import dataclass

import numpy as np

from service.domain.errors import BadImage
from service.inference.input_batch import Image, Sample

FILE, PIXELS, STORED = "file", "pixels", "stored"
"""An encoded picture; pixels; and pixels in the form of a data set, a `Sample`."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image, and the name of its class."""

    label: str
    image: Image

    def encoded(self) -> bytes:
        """Return the content of a file.

        Raises:
            BadImage: the image is one.

        """
        if isinstance(self.image, BadImage):
            raise self.image
        if isinstance(self.image, bytes):
            return _joined(self.label, FILE, None, self.image)
        is_stored = isinstance(self.image, Sample)
        pixels = self.image.pixels if isinstance(self.image, Sample) else self.image
        shape, content = list(pixels.shape), pixels.astype(np.uint8, copy=False).tobytes()
        return _joined(self.label, STORED if is_stored else PIXELS, shape, content)


def decoded(data: bytes) -> LabelledImage:
    """Return what `LabelledImage.encoded` made a file of."""
    head, _, content = data.partition(b"\n")
    facts = json.loads(head)
    if facts["form"] == FILE:
        return LabelledImage(facts["label"], content)
    pixels = np.frombuffer(content, np.uint8).reshape(facts["shape"])
    return LabelledImage(facts["label"], Sample(pixels) if facts["form"] == STORED else pixels)


def _joined(label: str, form: str, shape: list[int] | None, content: bytes) -> bytes:
    return json.dumps({"label": label, "form": form, "shape": shape}).encode() + b"\n" + content
