"""Decides the form in which the rows of a set are stored: polarity, channels, scales and input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import Column, InputForm, Manifest
from service.inference.feature_scaling import scaled
from service.inference.image_decoding import MNIST_SIDE
from service.ingest.judgements import (
    DIGIT_SHARE,
    GREY_SAMPLES,
    is_grey_paper,
    is_white_paper,
    sampled,
    share_of_digit_form,
)
from service.ingest.options import IngestOptions
from service.ingest.preparation import Preparation
from service.ingest.refusal import unusable
from service.ingest.staging import Staged

DIGIT_SHAPE = (MNIST_SIDE, MNIST_SIDE)
Mask = NDArray[np.bool_]


@dataclass
class StoredForm:
    """How a staged row becomes a row of the set."""

    staged: Staged
    shape: tuple[int, ...]
    """(height, width), (height, width, 3) or (columns,)."""
    invert: bool = False
    one_channel: bool = False
    """Whether the three channels of the staged images are equal, so that one of them is enough."""
    columns: tuple[Column, ...] = ()
    input: InputForm = InputForm.IMAGE
    digit_share: float | None = None
    """The share of the images looked at that have MNIST's form; None for other shapes."""
    on_grey_paper: bool = False
    """Whether the images show dark ink on grey paper, of which a network learns little."""
    clipped: int = 0
    """Rows, of those that were read, with a number outside of the range of its column."""
    is_final: bool = False
    """Whether the staged rows are those of another set, to which nothing is to be done."""

    def pieces(self, wanted: Mask) -> Iterator[NDArray[np.uint8]]:
        """Yield the wanted rows, uint8 (n, values), some at a time."""
        if self.is_final:
            yield from self.staged.pieces(wanted)
            return
        for piece in self.staged.pieces(wanted):
            yield self._scaled(piece) if self.columns else self._pixels(piece)

    def _pixels(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.one_channel:
            piece = piece[:, :: self.staged.shape[2]]
        return 255 - piece if self.invert else piece

    def _scaled(self, piece: NDArray[Any]) -> NDArray[np.uint8]:
        levels, is_outside = scaled(piece, self.columns)
        self.clipped += int(np.count_nonzero(is_outside.any(axis=1)))
        return levels


def form_of(
    staged: Staged,
    preparation: Preparation,
    options: IngestOptions,
    columns: Sequence[str],
    train: Mask,
) -> StoredForm:
    """Return the form of a set, by what the options say and the training rows show.

    Raises:
        Unusable: the options ask for a form that the rows do not have.

    """
    if staged.is_vector:
        return _vector(staged, options, columns, train)
    if options.input == InputForm.VECTOR:
        raise unusable(
            "not_vectors",
            "The option `input` is `vector`, and the files hold images.",
            hint="Leave out the option `input`.",
        )
    height, width, channels = staged.shape
    one_channel = channels > 1 and preparation.is_grey
    shape = (height, width) if channels == 1 or one_channel else (height, width, channels)
    form = StoredForm(staged, shape, _is_inverted(staged, options, train), one_channel)
    if shape == DIGIT_SHAPE:
        sample = np.concatenate(list(form.pieces(sampled(train))))
        form.digit_share = share_of_digit_form(sample)
    form.input = _image_input(form, options)
    if form.input == InputForm.IMAGE and len(shape) == 2 and not form.invert:
        pieces = form.pieces(sampled(train, GREY_SAMPLES))
        form.on_grey_paper = is_grey_paper(np.concatenate(list(pieces)))
    return form


def carried_over(staged: Staged, manifest: Manifest) -> StoredForm:
    """Return the form of rows that were taken from another set: the same as there."""
    return StoredForm(
        staged,
        manifest.shape,
        manifest.invert,
        columns=manifest.columns,
        input=manifest.input,
        is_final=True,
    )


def _is_inverted(staged: Staged, options: IngestOptions, train: Mask) -> bool:
    if options.normalize:  # the normaliser finds the polarity of each image
        return False
    if options.invert is not None:
        return options.invert
    return is_white_paper(staged.rows, train, int(np.prod(staged.shape)))


def _image_input(form: StoredForm, options: IngestOptions) -> InputForm:
    if options.input == InputForm.DIGIT and form.shape != DIGIT_SHAPE:
        raise unusable(
            "not_digits",
            f"Its images have the shape {form.shape}, and digits of MNIST's form (28, 28).",
            hint="Set the option `normalize` to bring them into MNIST's form, or `input` to "
            "`image`.",
        )
    if options.input is not None:
        return InputForm(options.input)
    is_digit = options.normalize or (form.digit_share or 0) >= DIGIT_SHARE
    return InputForm.DIGIT if is_digit else InputForm.IMAGE


def _vector(
    staged: Staged, options: IngestOptions, names: Sequence[str], train: Mask
) -> StoredForm:
    if options.input not in (None, InputForm.VECTOR):
        raise unusable(
            "not_images",
            "Its rows are numbers that are no pixels.",
            hint="Leave out the option `input`, or set `range` to the values of black and white.",
        )
    low = np.full(staged.shape, np.inf, np.float32)
    high = np.full(staged.shape, -np.inf, np.float32)
    for values in staged.pieces(train):
        low = np.minimum(low, values.min(axis=0))
        high = np.maximum(high, values.max(axis=0))
    ends = zip(names, map(_short, low), map(_short, high), strict=True)
    columns = tuple(Column(name, least, most) for name, least, most in ends)
    return StoredForm(staged, staged.shape, columns=columns, input=InputForm.VECTOR)


def _short(value: np.float32) -> float:
    """Return the shortest number that is this one as float32: 4.3 and not 4.300000190734863."""
    return float(str(value))
