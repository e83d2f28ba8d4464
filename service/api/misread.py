"""Shows the images that a network misreads, also in comparison with another network."""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Response
from numpy.typing import NDArray
from pydantic import Field

from mlp_client.evaluations import Misread
from service.api.dependencies import Services
from service.api.evaluated import Evaluated, SplitQuery
from service.api.evaluation_answers import AskingDep, Question, answer
from service.api.heavy_answers import check_size
from service.api.openapi import NOT_MODIFIED, binary
from service.inference.evaluate import Evaluation
from service.pictures import confused_pairs, misread_sheet
from service.pictures.drawing import named
from service.pictures.plain_glyphs import one_line

router = APIRouter(prefix="/v1/models/{ref}/evaluation", tags=["models"])

MOST_IMAGES = 400
"""Most images of an answer."""
MOST_CLASSES = 30
"""Most classes in a picture with an image for each pair of them."""
Order = Literal["confidence", "doubt", "index"]
Rows = NDArray[np.intp]


class CellQuery(SplitQuery):
    actual: str | None = Field(
        None,
        max_length=200,
        description="Only images of this class: its name, or its number if no class has that name.",
    )
    predicted: str | None = Field(
        None, max_length=200, description="Only images that the network reads as this class."
    )
    unlike: str | None = Field(
        None,
        max_length=64,
        description="Another network, as a job's id or `latest`, perhaps with `@`: only images "
        "that the other network reads.",
    )
    order: Order = Field(
        "confidence",
        description="`confidence`: the surest mistakes first; `doubt`: the least sure ones; "
        "`index`: in the order of the rows.",
    )
    after: int | None = Field(
        None, ge=0, le=2**31, description="Only images behind that of this index, in the order."
    )

    @property
    def rival(self) -> str | None:
        return self.unlike


class MisreadQuery(CellQuery):
    limit: int = Field(60, ge=1, le=MOST_IMAGES, description="Maximum number of images.")


class MisreadSheetQuery(MisreadQuery):
    columns: int = Field(10, ge=1, le=50, description="Number of images in each row.")
    tile: int = Field(84, ge=16, le=256, description="Width and height of each image, in pixels.")


class PairsQuery(SplitQuery):
    tile: int | None = Field(
        None,
        ge=16,
        le=128,
        description="Width and height of each image, in pixels; by default as fits.",
    )


@router.get(
    "/misread.json",
    response_model=Misread,
    responses=NOT_MODIFIED,
    name="list_misread",
    summary="List the images that a network misreads",
)
async def list_misread(asking: AskingDep, query: Annotated[MisreadQuery, Query()]) -> Response:
    """List the images that the network misreads, the surest mistakes first.

    With `unlike`, only those that another network reads; asked the other way round, those that only
    this one reads. To continue behind a page, send the index of its last image as `after`.
    """
    return await answer(asking, query, "json", _listed)


@router.get(
    "/misread.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_misread",
    summary="Draw the images that a network misreads",
)
async def draw_misread(asking: AskingDep, query: Annotated[MisreadSheetQuery, Query()]) -> Response:
    """Draw the images that the network misreads, each above what it shows and how it is read."""
    check_size(query.limit, query.tile)

    def write(question: Question[MisreadSheetQuery]) -> bytes:
        chosen = _page(question)[1]
        images = _images(asking.services, question.asked, chosen.tolist())
        readings = _readings(question.asked, chosen)
        return misread_sheet.draw(images, readings, columns=query.columns, tile=query.tile)

    return await answer(asking, query, "png", write)


@router.get(
    "/confusions.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_confusions",
    summary="Draw the surest mistake of each pair of classes",
)
async def draw_confusions(asking: AskingDep, query: Annotated[PairsQuery, Query()]) -> Response:
    """Draw the confusion matrix with an image in each cell: the surest one that is read so.

    Rows are what the images show, columns what the network says. The diagonal is left out. Of more
    than 30 classes, those are drawn that have the most mistakes.
    """
    check_size(MOST_CLASSES**2, query.tile or 0)

    def write(question: Question[PairsQuery]) -> bytes:
        asked = question.asked
        labels = _most_mistaken(asked.found.confusion)
        place = {label: k for k, label in enumerate(labels)}
        rows = {
            (place[actual], place[said]): row
            for (actual, said), row in _surest_of_pairs(asked.found).items()
            if actual in place and said in place
        }
        images = _images(asking.services, asked, list(rows.values()))
        names = named(asked.classes, "png")
        shown = dict(zip(rows, images, strict=True))
        return confused_pairs.draw(shown, [names[label] for label in labels], query.tile)

    return await answer(asking, query, "png", write)


# --- Choosing -------------------------------------------------------------------------------------


def _listed(question: Question[MisreadQuery]) -> bytes:
    asked, rival = question.asked, question.rival
    found = asked.found
    total, page, is_more = _page(question)
    reverse = int((found.is_right & ~rival.found.is_right).sum()) if rival else None
    record = Misread.model_validate(
        asked.named()
        | {
            "data": [_image(question, row) for row in page.tolist()],
            "total": total,
            "reverse_total": reverse,
            "unlike": rival.named() if rival else None,
            "has_more": is_more,
        }
    )
    return record.model_dump_json().encode()


def _page(question: Question[MisreadQuery]) -> tuple[int, Rows, bool]:
    """Return how many images are asked for, the rows of a page, and whether there are more."""
    query, found = question.query, question.asked.found
    chosen = _chosen(question)
    behind = _behind(chosen, _keys(found, query.order), query.after)
    return len(chosen), behind[: query.limit], len(behind) > query.limit


def _chosen(question: Question[MisreadQuery]) -> Rows:
    """Return the rows that are asked for, in their order."""
    query, asked = question.query, question.asked
    found = asked.found
    chosen = ~found.is_right
    if question.rival:
        chosen &= question.rival.found.is_right
    for name, labels in ((query.actual, found.labels), (query.predicted, found.predicted)):
        if name is not None:
            chosen &= labels == _label(asked.classes, name)
    rows = np.flatnonzero(chosen)
    ordered: Rows = rows[np.lexsort((rows, _keys(found, query.order)[rows]))]
    return ordered


def _keys(found: Evaluation, order: Order) -> NDArray[np.float64]:
    """Return what rows are sorted by; of equals the lowest row comes first."""
    if order == "index":
        return np.zeros(len(found.labels))
    return found.confidence if order == "doubt" else -found.confidence


def _label(classes: list[str], name: str) -> int:
    """Return the label of a class by its name, or by its number if no class has that name.

    Raises:
        HTTPException: there is no such class.

    """
    if name in classes:
        return classes.index(name)
    if name.isdecimal() and len(name) <= 3 and int(name) < len(classes):
        return int(name)
    raise HTTPException(
        422, f"There is no class {one_line(name, 40)!r}; the evaluation lists them in `classes`."
    )


def _behind(rows: Rows, keys: NDArray[np.float64], after: int | None) -> Rows:
    """Return the ordered rows behind one of the split, whether or not it is among them.

    Raises:
        HTTPException: there is no such row.

    """
    if after is None:
        return rows
    if after >= len(keys):
        raise HTTPException(422, f"?after must be below {len(keys)}, the number of images.")
    own, last = keys[rows], keys[after]
    behind: Rows = rows[(own > last) | ((own == last) & (rows > after))]
    return behind


def _most_mistaken(confusion: NDArray[np.int64]) -> list[int]:
    """Return the labels, in their order, of the classes with the most mistakes of either kind."""
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diag(confusion)
    most = np.argsort(-wrong, kind="stable")[:MOST_CLASSES]
    return sorted(most.tolist())


def _surest_of_pairs(found: Evaluation) -> dict[tuple[int, int], int]:
    """Return the surest misread row of each pair (actual, predicted) that has any."""
    wrong = np.flatnonzero(~found.is_right)
    ordered = wrong[np.lexsort((wrong, -found.confidence[wrong]))]
    pairs = zip(found.labels[ordered].tolist(), found.predicted[ordered].tolist(), strict=True)
    surest: dict[tuple[int, int], int] = {}
    for pair, row in zip(pairs, ordered.tolist(), strict=True):
        surest.setdefault(pair, row)
    return surest


# --- Showing --------------------------------------------------------------------------------------


def _image(question: Question[MisreadQuery], row: int) -> dict[str, Any]:
    asked, rival = question.asked, question.rival
    found, names = asked.found, asked.classes
    image: dict[str, Any] = {
        "index": row,
        "actual": names[found.labels[row]],
        "predicted": names[found.predicted[row]],
        "probability": float(found.confidence[row]),
        "second": names[found.second[row]],
        "sample": question.sample(row),
    }
    if rival:
        image["unlike"] = {
            "predicted": rival.classes[rival.found.predicted[row]],
            "probability": float(rival.found.confidence[row]),
        }
    return image


def _readings(asked: Evaluated, rows: Rows) -> list[misread_sheet.Reading]:
    """Return what images show, what the network says, and how sure it is."""
    found, names = asked.found, named(asked.classes, "png")
    labels = found.labels[rows].tolist(), found.predicted[rows].tolist()
    return [
        (names[actual], names[said], sure)
        for actual, said, sure in zip(*labels, found.confidence[rows].tolist(), strict=True)
    ]


def _images(services: Services, asked: Evaluated, rows: list[int]) -> NDArray[np.uint8]:
    """Return the images of some rows: (n, height, width)."""
    info = asked.dataset
    split = services.datasets.files.split(info.sha256, asked.split)
    colours = (3,) if info.manifest.channels == 3 else ()
    images: NDArray[np.uint8] = split.images[rows].reshape(len(rows), *info.image_shape, *colours)
    return images
