"""Draws the samples that the report of a data set doubts, beside those that they equal."""

import numpy as np
from fastapi import HTTPException

from mlp_core import Split
from service.api.sample_choice import SheetQuery, check_split
from service.domain.dataset_manifest import Manifest
from service.ingest.misfits import Misfit, Place, misfits_in
from service.ingest.splits import NONE, TEST
from service.pictures import contact_sheet, typeface
from service.store.dataset_files import DatasetFiles
from service.store.stored_dataset import DatasetInfo, StoredDataset

ROOM_FOR_BOTH = 56
"""Width in pixels from which a tile has room for more than the row of its sample."""


def check(info: DatasetInfo, query: SheetQuery) -> None:
    """Check by the description of a data set that its doubted samples can be drawn.

    Raises:
        HTTPException: rows are named too, or there is no such split or class.

    """
    if query.indices:
        raise HTTPException(422, "?indices names the samples: leave out ?misfit.")
    if query.given_split is not None:
        check_split(info, query.given_split)
    if query.label is not None and query.label >= len(info.classes):
        highest = len(info.classes) - 1
        raise HTTPException(404, f"There is no class {query.label}; labels are 0 to {highest}.")


def draw(
    files: DatasetFiles,
    found: StoredDataset,
    info: DatasetInfo,
    query: SheetQuery,
    misfit: Misfit,
) -> bytes:
    """Return a PNG of samples that are doubted, each before the one that it equals, if any.

    Args:
        files: of the data sets.
        found: the data set.
        info: its description.
        query: `split` and `label` of the doubted ones, a page of them by `limit` and `offset`, and
            the size of the sheet, in which pairs are not parted.
        misfit: why they are doubted.

    Raises:
        HTTPException: there are none.

    """
    splits, split = _splits(files, found, info), query.given_split
    doubted = [
        places
        for places in misfits_in(splits, misfit)
        if split in (None, places[0][0]) and query.label in (None, _label(splits, places[0]))
    ]
    shown = doubted[query.offset : query.offset + query.limit]
    if not shown:
        raise HTTPException(404, _missing(info.name, misfit, len(doubted)))
    places = [place for each in shown for place in each]
    together = len(shown[0])
    return contact_sheet.draw(
        _images(splits, places, info.manifest),
        labels=_titles(splits, places, info, misfit, query.tile),
        columns=query.columns - query.columns % together or 1,
        tile_size=query.tile,
    )


def _splits(files: DatasetFiles, found: StoredDataset, info: DatasetInfo) -> dict[str, Split]:
    names = set(info.manifest.rows)
    if found.options.get("split") == NONE:
        names -= {TEST}  # its rows are those of the training set
    return {name: files.split(info.sha256, name) for name in names}


def _label(splits: dict[str, Split], place: Place) -> int:
    split, row = place
    return int(splits[split].labels[row])


def _missing(name: str, misfit: Misfit, count: int) -> str:
    if count:
        return f"There are {count:,} such samples: choose a lower offset."
    return f"The data set {name!r} has no such samples that are doubted as `{misfit}`."


def _images(
    splits: dict[str, Split], places: list[Place], manifest: Manifest
) -> np.typing.NDArray[np.uint8]:
    rows = np.stack([splits[split].images[row] for split, row in places])
    shape = manifest.shape if len(manifest.shape) > 1 else (1, *manifest.shape)
    return rows.reshape(-1, *shape)


def _titles(
    splits: dict[str, Split], places: list[Place], info: DatasetInfo, misfit: Misfit, tile: int
) -> list[str]:
    """Return titles with the row and what tells it from the other one, as far as there is room."""
    if tile < ROOM_FOR_BOTH:
        return [str(row) for _, row in places]
    if misfit not in (Misfit.TWO_LABELS, Misfit.RARE_CLASS):
        return [f"{split} {row}" for split, row in places]
    names = typeface.shown(info.classes)
    return [f"{names[_label(splits, place)]} · {place[1]}" for place in places]
