"""Turns uploaded files into the arrays of a data set, and says what was found in them.

The rows are read once and written to a file, judged by what was kept of them, divided, and written
as the arrays of each split. Memory grows with the number of rows, by some 50 bytes each, and not
with their size.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import ContentDigest, InputForm, Manifest
from service.ingest import doubts
from service.ingest.array_writing import write_arrays, write_text
from service.ingest.class_names import named_classes
from service.ingest.collected import added
from service.ingest.derivation import Derivation
from service.ingest.divided_rows import DividedRows
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions, SplitOption
from service.ingest.preparation import Preparation
from service.ingest.readers import reader_for
from service.ingest.refusal import Flaw, Unusable, unusable
from service.ingest.report import Findings
from service.ingest.source import Block, Doubt, Reader, Source, UploadedFile
from service.ingest.splits import GIVEN, TRAIN, beyond, divided
from service.ingest.staging import READING, SPLITS, Progress, Staged, stage
from service.ingest.stored_form import StoredForm, carried_over, form_of

SCRATCH_NAME, STAGED_NAME, MANIFEST_NAME = "scratch", "rows", "manifest.json"
WRITING = "writing"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Checked:
    """A data set that is ready for use; its arrays are in the folder of the check."""

    manifest: Manifest
    report: dict[str, Any]
    options: dict[str, Any]
    """The options of the client, with what was found in place of None."""


class Failed(Unusable):
    """Files that can't become a data set, with the report of what was found in them so far."""

    def __init__(self, flaws: Sequence[Flaw], report: dict[str, Any]) -> None:
        super().__init__(flaws)
        self.report = report


def check(
    files: Sequence[UploadedFile],
    options: IngestOptions,
    folder: Path,
    limits: Limits,
    progress: Progress,
    reader: Reader | None = None,
) -> Checked:
    """Write the arrays and the manifest of a data set, and return its report.

    Args:
        files: as a client has sent them.
        options: what the client has asked for.
        folder: exists and is empty; after an error it holds parts of the arrays.
        limits: of what is read.
        progress: called every few rows with a stage, the rows done, and the rows in all, if known.
        reader: of the files; None looks at what they are.

    Raises:
        Failed: the files can't become a data set.

    """

    def read(limits: Limits) -> Source:
        return (reader or reader_for(files))(files, options, limits)

    return _run(read, options, folder, limits, progress)


def check_derived(
    derivation: Derivation,
    stored: Path,
    folder: Path,
    limits: Limits,
    progress: Progress,
    samples: Sequence[UploadedFile] = (),
) -> Checked:
    """Write a data set that is made of another one; see `check`.

    Args:
        derivation: what is to be made of which set.
        stored: the folder of that set's arrays.
        folder: see `check`, as for the others.
        limits: of what is read.
        progress: called every few rows.
        samples: further rows to train on, see `collected.added`.

    Raises:
        Failed: the set can't be made.

    """

    def read(limits: Limits) -> Source:
        source = derivation.source(stored)
        return added(source, derivation.manifest, samples, limits) if samples else source

    return _run(read, derivation.options, folder, limits, progress, derivation)


def _run(
    read: Callable[[Limits], Source],
    options: IngestOptions,
    folder: Path,
    limits: Limits,
    progress: Progress,
    derivation: Derivation | None = None,
) -> Checked:
    told, findings = _RepeatedProgress(progress), Findings()
    limits = replace(limits, pulse=told.again)
    try:
        with _scratch(folder / SCRATCH_NAME) as scratch:
            source = findings.source = read(limits)
            steps = _Check(source, options, folder, findings, told.progress, derivation)
            return steps.run(scratch / STAGED_NAME, limits)
    except Unusable as exc:
        raise Failed(exc.flaws, findings.report(exc.flaws)) from exc


class _RepeatedProgress:
    """Passes progress on, and repeats it while a reader is busy."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last: tuple[str, int, int | None] = (READING, 0, None)

    def progress(self, stage: str, done: int, of: int | None) -> None:
        self._last = stage, done, of
        self._progress(stage, done, of)

    def again(self) -> None:
        self._progress(*self._last)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder in which everything temporary lies, and remove it.

    What readers unpack lies there too, so that whoever removes the folder of a check that was
    killed removes everything.
    """
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder)


@dataclass(frozen=True)
class _Check:
    source: Source
    options: IngestOptions
    folder: Path
    findings: Findings
    progress: Progress
    derivation: Derivation | None = None
    """What is made of another set, whose form the rows keep; None for files."""

    def run(self, path: Path, limits: Limits) -> Checked:
        """Check the rows of the source, which are written to a path meanwhile."""
        preparation, found = Preparation(self.options), self.findings
        prepared = _images_of if self.derivation else preparation.rows
        staged = stage(self.source, prepared, path, limits, self.progress)
        rows = self._limited(self._divided(staged))
        found.classes, found.counts = rows.classes, rows.counts
        rows, copied = self._without_copies(rows)
        form = self._form(rows, preparation)
        found.counts = rows.counts
        found.found |= self._facts(form, rows)
        found.manifest = self._written(rows, form)
        found.bytes = sum(file.stat().st_size for file in self.folder.glob("*.npy"))
        found.doubts += [
            *copied,
            *doubts.of_form(form, preparation, self.options),
            *_of_rows(rows, form),
        ]
        return Checked(found.manifest, found.report(), self._resolved(found.manifest, rows))

    def _divided(self, staged: Staged) -> DividedRows:
        names = self.options.classes or self.source.classes or None
        classes, named = named_classes(staged.written, names)
        self.findings.doubts += named
        labels = classes.of_written[staged.rows.labels]
        of_split, decided = divided(staged.rows.splits, labels, self.options.split)
        return DividedRows(self.source, staged, classes, labels, of_split, decided)

    def _limited(self, rows: DividedRows) -> DividedRows:
        """Return the rows without those that are more than were asked for."""
        if self.derivation is None or self.derivation.rows is None:
            return rows
        most, seed = self.derivation.rows, self.derivation.seed
        needless = beyond(rows.of_split[TRAIN], rows.labels, most, seed)
        if len(needless):
            self.source.ignored["training rows beyond `rows`"] = len(needless)
        return rows.without(needless)

    def _form(self, rows: DividedRows, preparation: Preparation) -> StoredForm:
        if self.derivation:
            return carried_over(rows.staged, self.derivation.manifest)
        columns, train = self.source.columns, rows.of_split[TRAIN]
        return form_of(rows.staged, preparation, self.options, columns, train)

    def _without_copies(self, rows: DividedRows) -> tuple[DividedRows, list[Doubt]]:
        """Return the rows without copies, if that is asked for, and the doubts about them.

        Raises:
            Unusable: nothing else is there to train on.

        """
        copies = rows.copies()
        found = list(doubts.of_copies(rows, copies))
        if not self.options.deduplicate:
            return rows, found
        kept = rows.without(copies.needless)
        if not kept.of_split[TRAIN].any():
            raise unusable(
                "no_training_images",
                "Each training row is also in the test set, so that none is left to train on.",
                hint="Leave out the option `deduplicate`, or divide the rows by `split`.",
            )
        return kept, [*found, *doubts.of_removed(len(copies.needless))]

    def _facts(self, form: StoredForm, rows: DividedRows) -> dict[str, Any]:
        """Return what the check itself has found."""
        found: dict[str, Any] = {"inverted": form.invert}
        if form.digit_share is not None:
            found["mnist_form"] = round(form.digit_share, 4)
        if rows.decided != GIVEN:
            found["split"] = _how_divided(rows.decided)
            if "split" in self.source.found:
                found["split_of_files"] = self.source.found["split"]
        return found

    def _written(self, rows: DividedRows, form: StoredForm) -> Manifest:
        """Write all files of the set into its folder."""
        counts = rows.counts
        total = sum(map(sum, counts.values()))
        done = 0

        def pieces(wanted: Mask) -> Iterator[NDArray[np.uint8]]:
            nonlocal done
            for piece in form.pieces(wanted):
                yield piece
                done += len(piece)
                self.progress(WRITING, done, total)

        names = rows.classes.names
        digest = ContentDigest(form.shape, names, {split: sum(n) for split, n in counts.items()})
        in_order = {split: rows.of_split[split] for split in SPLITS if split in rows.of_split}
        write_arrays(self.folder, in_order, rows.labels, math.prod(form.shape), pieces, digest)
        manifest = Manifest(
            digest.hexdigest(),
            form.shape,
            names,
            counts,
            form.input,
            form.invert,
            self.options.transpose,
            self.options.resize,
            form.columns,
        )
        write_text(self.folder / MANIFEST_NAME, json.dumps(manifest.as_record()))
        return manifest

    def _resolved(self, manifest: Manifest, rows: DividedRows) -> dict[str, Any]:
        """Return the options with what was found, as JSON can hold them."""
        options, decided = self.options, rows.decided
        found: dict[str, Any] = {
            "split": asdict(decided) if isinstance(decided, SplitOption) else decided,
            "input": str(manifest.input),
            "invert": manifest.invert,
            "resize": str(options.resize),
            "size": list(manifest.image_shape) if manifest.image_shape else None,
            "classes": list(manifest.classes) if options.classes is None else options.classes,
            "range": list(options.range) if options.range else None,
        }
        return asdict(options) | found


def _images_of(block: Block) -> NDArray[np.uint8]:
    """Return the rows of a block as they are."""
    return block.images


def _of_rows(rows: DividedRows, form: StoredForm) -> Iterator[Doubt]:
    """Yield the doubts about classes and single rows."""
    yield from doubts.of_classes(rows.classes, rows.counts)
    if rows.decided == GIVEN:
        yield from doubts.of_order(rows.labels, rows.counts)
    if form.input != InputForm.VECTOR:
        yield from doubts.of_pixels(rows)


def _how_divided(decided: SplitOption | str) -> str:
    if not isinstance(decided, SplitOption):
        return "none: all rows are to train and to test on"
    part = "each class" if decided.stratify else "all rows"
    return f"by chance: {decided.test:.4g} of {part} to test on, seed {decided.seed}"
