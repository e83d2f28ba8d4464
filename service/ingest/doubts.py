"""Words what a person should know of a set: copies, rare classes, blank images and the like."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.ingest.class_names import Classes
from service.ingest.divided_rows import DividedRows
from service.ingest.judgements import Copies, Numbers
from service.ingest.options import IngestOptions
from service.ingest.preparation import Preparation
from service.ingest.source import MOST_EXAMPLES, Doubt
from service.ingest.splits import TEST, TRAIN
from service.ingest.stored_form import StoredForm

RARE = 10
"""A class with fewer rows to train on is hardly learnt."""
IMBALANCE = 20
"""From this ratio of the largest to the smallest class, the smallest is hardly ever predicted."""
FAINT_BELOW = 128
"""Images whose darkest and lightest pixel are closer than this are faint."""
Counts = Mapping[str, Sequence[int]]


def of_copies(rows: DividedRows, copies: Copies) -> Iterator[Doubt]:
    """Yield the doubts about rows that are there more than once."""

    def pair(copy: int, first: int) -> str:
        return f"{rows.place(copy)} equals {rows.place(first)}"

    def classes(copy: int, first: int) -> str:
        return f"{pair(copy, first)} ({rows.class_of(copy)} and {rows.class_of(first)})"

    def doubt(
        code: str, detail: str, pairs: Numbers, word: Callable[[int, int], str] = pair
    ) -> Iterator[Doubt]:
        if len(pairs):
            examples = [word(copy, first) for copy, first in pairs[:MOST_EXAMPLES].tolist()]
            yield Doubt(code, detail, len(pairs), examples)

    yield from doubt(
        "leak",
        f"Of {rows.held_out:,} rows to test or validate on, {len(copies.leaks):,} equal a training "
        "row, so that the accuracy on them promises too much.",
        copies.leaks,
    )
    yield from doubt(
        "duplicates", "These rows equal earlier ones of their class and split.", copies.duplicates
    )
    yield from doubt(
        "two_labels",
        "These rows have another label than an equal row; one of the two is wrong.",
        copies.two_labels,
        classes,
    )


def of_removed(removed: int) -> Iterator[Doubt]:
    """Yield the doubt that says how many rows the option `deduplicate` has left out."""
    if removed:
        detail = "Training rows that equal others were left out, as the option `deduplicate` asks."
        yield Doubt("deduplicated", detail, removed)


def of_classes(classes: Classes, counts: Counts) -> Iterator[Doubt]:
    """Yield the doubts about the numbers of rows of the classes."""
    train, test = counts[TRAIN], counts[TEST]
    named = list(zip(classes.names, train, test, strict=True))

    def doubt(code: str, detail: str, found: Sequence[str]) -> Iterator[Doubt]:
        if found:
            yield Doubt(code, detail, len(found), list(found[:MOST_EXAMPLES]))

    yield from doubt(
        "missing_in_train",
        "These classes have no rows to train on, so that they are never predicted.",
        [name for name, here, _ in named if not here],
    )
    yield from doubt(
        "missing_in_test",
        "These classes have no rows to test on, so that nothing says how well they are told.",
        [name for name, here, there in named if here and not there],
    )
    yield from doubt(
        "rare_class",
        f"These classes have fewer than {RARE} rows to train on.",
        [f"{name}: {here}" for name, here, _ in named if 0 < here < RARE],
    )
    present = [here for here in train if here]
    if len(present) == 1:
        detail = (
            "There is only one class, so that a network has nothing to tell apart. If there are "
            "more, they are not named by folders or by the column that was taken for the label."
        )
        yield Doubt("one_class", detail, 1, [name for name, here, _ in named if here])
    if present and max(present) > IMBALANCE * min(present):
        least, most = (classes.names[train.index(size)] for size in (min(present), max(present)))
        detail = (
            f"{most} has {max(present):,} rows to train on, and {least} {min(present):,}. "
            "Class weights (`class_weights`) make up for it."
        )
        yield Doubt("imbalance", detail, 1, [least])


def of_order(labels: NDArray[np.uint8], counts: Counts) -> Iterator[Doubt]:
    """Yield the doubt about a given split that has cut a sorted list.

    Args:
        labels: of all rows in the order of the source.
        counts: the rows of each class, by split.

    """
    only_one = [a == 0 or b == 0 for a, b in zip(counts[TRAIN], counts[TEST], strict=True)]
    if len(only_one) > 1 and sum(only_one) >= len(only_one) - 1 and (np.diff(labels) >= 0).all():
        yield Doubt(
            "sorted_given_split",
            "The rows are sorted by class, and the given split cuts them in two: hardly a class is "
            'in both parts. Set the option `split` to {"test": 0.2} to divide each class.',
            sum(only_one),
        )


def of_pixels(rows: DividedRows) -> Iterator[Doubt]:
    """Yield the doubts about images that show little or nothing."""
    staged = rows.staged
    blank = np.flatnonzero(staged.rows.blank & rows.used)
    if len(blank):
        detail = "These images have one grey level only, and show nothing."
        examples = [rows.place(row) for row in blank[:MOST_EXAMPLES].tolist()]
        yield Doubt("blank", detail, len(blank), examples)
    if staged.high - staged.low < FAINT_BELOW and staged.high > staged.low:
        yield Doubt(
            "cropped_range",
            f"All pixels are between {staged.low:g} and {staged.high:g} of 255, so that the images "
            f"are faint. Set the option `range` to [{staged.low:g}, {staged.high:g}] if these are "
            "black and white.",
        )


def of_form(form: StoredForm, preparation: Preparation, options: IngestOptions) -> Iterator[Doubt]:
    """Yield the doubts about what was done to the rows."""
    if form.invert and options.invert is None:
        yield Doubt(
            "inverted",
            "The images show dark ink on white paper. They were inverted, because a network learns "
            "hardly anything where most of its inputs are white; pictures that it is asked about "
            "are inverted too.",
        )
    if form.on_grey_paper:
        yield Doubt(
            "grey_paper",
            "The images show something dark on grey, as photographs of paper do. A network learns "
            "little of them as they are. If each shows one thing, such as a letter, send them with "
            "the option `normalize`.",
        )
    if preparation.has_colours and preparation.is_grey:
        yield Doubt(
            "grey_in_color",
            "The images are stored as colours and show greys only, so that one channel was kept.",
        )
    if preparation.resized:
        size = "x".join(map(str, form.shape[:2]))
        yield Doubt(
            "resized",
            f"{preparation.resized:,} images were brought to {size}.",
            preparation.resized,
        )
    if form.clipped:
        detail = (
            "These rows have a number outside of the range of its column in the training set; it "
            "was clipped to that range."
        )
        yield Doubt("cropped_range", detail, form.clipped)
