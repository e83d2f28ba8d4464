"""Which samples of a split a client asks for: rows by their indices, or a page of them."""

from typing import Annotated, Literal

import numpy as np
from fastapi import HTTPException, Path
from numpy.typing import NDArray
from pydantic import Field

from service.api.comma_lists import SEPARATED
from service.api.validation import QueryParameters
from service.ingest.misfits import Misfit
from service.store.stored_dataset import DatasetInfo

MAX_SAMPLES = 400

SplitName = Literal["train", "validation", "test"]
DatasetName = Annotated[
    str,
    Path(
        description="The data set's name, or `name@sha256:…` for this content and no other.",
        max_length=160,
        examples=["mnist"],
    ),
]
DatasetSplit = Annotated[
    SplitName, Path(description="The training, the validation or the test set.")
]


class SampleChoice(QueryParameters):
    indices: Annotated[
        list[Annotated[int, Field(ge=0, le=2**31)]],
        Field(min_length=1, max_length=MAX_SAMPLES),
        SEPARATED,
    ] = Field(
        [],
        description="The rows of the samples, counted from 0, separated by commas, in the wanted "
        "order; in place of `label`, `limit` and `offset`.",
    )
    label: int | None = Field(
        None, ge=0, le=255, description="Only samples of this class, counted from 0."
    )
    limit: int = Field(50, ge=1, le=MAX_SAMPLES, description="Maximum number of samples.")
    offset: int = Field(
        0,
        ge=0,
        le=2**31,
        description="The first sample, counted from 0: a row, or with `label` "
        "one of the samples of that class.",
    )

    @property
    def is_explicit(self) -> bool:
        """Whether single samples were asked for, and not a page of all."""
        return bool(self.indices) or self.label is not None

    @property
    def count(self) -> int:
        """The highest number of samples."""
        return len(self.indices) or self.limit

    def check(self, info: DatasetInfo, split: SplitName) -> None:
        """Check that there are such samples, by the description of the data set alone.

        Raises:
            HTTPException: there is no such row or class, or the parameters exclude each other.

        """
        if not self.indices:
            self._check_page(info, split)
            return
        if excess := sorted(self.model_fields_set & {"label", "limit", "offset"}):
            raise HTTPException(422, f"?indices names the samples: leave out ?{excess[0]}.")
        check_row(info, split, max(self.indices))

    def _check_page(self, info: DatasetInfo, split: SplitName) -> None:
        if self.label is None:
            check_row(info, split, self.offset)
            return
        check_split(info, split)
        counts = info.class_counts[split]
        if self.label >= len(counts):
            raise HTTPException(
                404, f"There is no class {self.label}; labels are 0 to {len(counts) - 1}."
            )
        if self.offset >= counts[self.label]:
            raise HTTPException(
                404,
                f"There are {counts[self.label]:,} samples of class {self.label} in {split}: "
                "choose a lower offset.",
            )

    def rows(self, labels: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the rows of the samples, after `check`."""
        if self.indices:
            return np.array(self.indices, np.intp)
        page = slice(self.offset, self.offset + self.limit)
        if self.label is None:
            return np.arange(len(labels))[page]
        return np.flatnonzero(labels == self.label)[page]


class SheetQuery(SampleChoice):
    split: SplitName = Field("test", description="The split to draw from.")
    columns: int = Field(10, ge=1, le=50, description="Number of samples in each row.")
    misfit: Misfit | None = Field(
        None,
        description="Only samples that the report doubts for this reason, of all splits unless "
        "`split` is given, each before the one that it equals; `limit` and `offset` count these "
        "samples, and `label` is theirs.",
    )
    tile: int = Field(56, ge=8, le=256, description="Width and height of each sample, in pixels.")

    @property
    def given_split(self) -> SplitName | None:
        """The split, or None if the client has left it out."""
        return self.split if "split" in self.model_fields_set else None


def check_split(info: DatasetInfo, split: str) -> None:
    """Raise HTTPException if a data set has no such split."""
    if split not in info.manifest.rows:
        listed = ", ".join(info.manifest.rows)
        detail = f"The data set {info.name!r} has no split {split!r}; it has: {listed}."
        raise HTTPException(404, detail)


def check_row(info: DatasetInfo, split: SplitName, index: int) -> None:
    """Raise HTTPException if a data set has no such split, or the split no such row."""
    check_split(info, split)
    rows = info.manifest.rows[split]
    if index >= rows:
        raise HTTPException(404, f"There is no row {index}; {split} has rows 0 to {rows - 1}.")
