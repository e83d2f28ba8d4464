"""Brings the pictures of a request into the form of a set of images that are no digits.

They go the way that the pictures of the set went at ingest: decoded upright, on their paper, grey
or in colour, transposed if those of the set were, fitted to its size, and inverted if they were.
Only a picture that is on black paper already is not.
"""

import numpy as np
from PIL import Image as Pillow

from service.domain.dataset_manifest import Manifest, Resize
from service.domain.errors import BadImage
from service.inference import image_decoding
from service.inference.grey_levels import grey_of
from service.inference.image_fitting import fitted
from service.inference.image_normalization import Normalized, Report
from service.inference.input_batch import (
    Budget,
    Image,
    Images,
    Normalize,
    NormalizedBatch,
    Pixels,
    Sample,
    replaced,
)

BLACK = 5
"""Up to this level a pixel is black, as at ingest."""
PAPER_SHARE = 0.5
"""A picture is on black paper if this share of its border is black, and of the whole.

Ink that fills its picture covers up to 60 % of the border. Of 15 000 letters and digits on white in
nine real sets, none is taken for one on black, and of the same on black, at most 2.3 % of a set are
taken for ones on white.
"""


def source_shape(manifest: Manifest, normalize: Normalize) -> tuple[int, ...]:
    """Return the shape of a picture of the set's size, as a request may send its pixels.

    The pictures of a transposed set lie on their side. With `never`, pixels are sent as the network
    reads them.
    """
    height, width, *channels = manifest.shape
    if manifest.transpose and normalize != "never":
        return (width, height, *channels)
    return manifest.shape


def image_batch(manifest: Manifest, images: Images, normalize: Normalize) -> NormalizedBatch:
    """Bring all images into the form of the network's set.

    Args:
        manifest: of the set on which the network was trained.
        images: files, pixels of any size, or uint8 (n, *source_shape).
        normalize: `auto`, or `never` for pictures of the set's size that are taken as they are.

    Raises:
        BadImage: the only image can't be read.

    """
    if isinstance(images, np.ndarray):
        return _array_batch(manifest, images, normalize)
    budget = Budget()
    others = {at: _fitted(manifest, it, normalize, budget) for at, it in enumerate(images)}
    if len(images) == 1 and isinstance(refused := others[0], BadImage):
        raise refused
    pixels = replaced(np.zeros((len(images), *manifest.shape), np.uint8), others)
    return NormalizedBatch(pixels, np.zeros((len(images), 4), int), others)


def transposed(manifest: Manifest, pixels: Pixels, axis: int = 0) -> Pixels:
    """Return pixels with rows, which are this axis, and columns exchanged as those of the set."""
    return np.ascontiguousarray(pixels.swapaxes(axis, axis + 1)) if manifest.transpose else pixels


def is_inverted(manifest: Manifest, pixels: Pixels) -> bool:
    """Return whether a picture, uint8 (h, w, …), is to be inverted as those of the set were.

    A picture of the set as it is stored, or a drawing in white, is on black paper already.
    """
    if not manifest.invert:
        return False
    edges = (pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1])
    border = np.concatenate([edge.ravel() for edge in edges])
    return not (_is_black(border) and _is_black(pixels))


def _is_black(levels: Pixels) -> bool:
    return bool(np.mean(levels <= BLACK) >= PAPER_SHARE)


def _array_batch(manifest: Manifest, images: Pixels, normalize: Normalize) -> NormalizedBatch:
    """Bring images of one array, uint8 (n, *source_shape), into the form of the set."""
    height, width = images.shape[1:3]
    boxes = np.tile((0, 0, width, height), (len(images), 1))
    if normalize == "never":
        return NormalizedBatch(images, boxes, {})
    upright = transposed(manifest, images, axis=1)
    if not manifest.invert:
        return NormalizedBatch(upright, boxes, {})
    on_black = [at for at, seen in enumerate(upright) if not is_inverted(manifest, seen)]
    pixels = ~upright
    pixels[on_black] = upright[on_black]
    others: dict[int, Normalized | BadImage] = {
        at: Normalized(upright[at], _report(images[at], upright[at], upright[at], inverted=False))
        for at in on_black
    }
    return NormalizedBatch(pixels, boxes, others, inverted=True)


def _fitted(
    manifest: Manifest, image: Image, normalize: Normalize, budget: Budget
) -> Normalized | BadImage:
    """Bring an image into form, or return the error that says why it can't be."""
    if isinstance(image, BadImage):
        return image
    as_it_is = normalize == "never" or isinstance(image, Sample)
    resize = Resize.REFUSE if normalize == "never" else manifest.resize
    try:
        budget.check()
        picture = _pixels(image, manifest.channels, budget)
        budget.spend(manifest.n_in)
        upright = picture if as_it_is else transposed(manifest, picture)
        seen = fitted(upright, (manifest.shape[0], manifest.shape[1]), resize)
    except BadImage as exc:
        return exc
    inverts = not as_it_is and is_inverted(manifest, seen)
    report = _report(picture, upright, seen, inverted=inverts)
    return Normalized(~seen if inverts else seen, report)


def _pixels(image: bytes | Pixels | Sample, channels: int, budget: Budget) -> Pixels:
    """Return an image in grey (h, w), or with three channels in colour (h, w, 3)."""
    if isinstance(image, bytes):
        decode = image_decoding.decode_colours if channels == 3 else image_decoding.decode
        return decode(image, budget.spend)
    pixels = image.pixels if isinstance(image, Sample) else image
    budget.spend(pixels.size)
    if channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[..., np.newaxis], 3, axis=2)
    if channels == 1 and pixels.ndim == 3:
        return grey_of(Pillow.fromarray(np.ascontiguousarray(pixels)))
    return pixels


def _report(picture: Pixels, upright: Pixels, seen: Pixels, *, inverted: bool) -> Report:
    height, width = picture.shape[:2]
    scale = min(seen.shape[0] / upright.shape[0], seen.shape[1] / upright.shape[1])
    contrast = float(seen.max()) - float(seen.min())
    unchanged = upright.shape == seen.shape and not inverted
    return Report(unchanged, inverted, (0, 0, width, height), scale, (0.0, 0.0), contrast)
