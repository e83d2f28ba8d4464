"""Serves evaluations of a network on a whole set: figures, pictures and predictions."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import Field

from mlp_client.evaluations import Evaluation
from service.api.csv_lines import csv_lines
from service.api.curves import Theme
from service.api.dependencies import Services
from service.api.evaluated import Evaluated, EvaluationQuery, SplitQuery, evaluated
from service.api.evaluation_answers import AskingDep, Question, answer
from service.api.evaluation_figures import figures
from service.api.npy_file import npy_file
from service.api.openapi import NOT_MODIFIED, binary
from service.inference.tempering import VALIDATION, Tempered, tempered
from service.pictures import confusion, reliability
from service.pictures.confusion import Share
from service.pictures.drawing import Format
from service.store.temperatures import Temperature

router = APIRouter(prefix="/v1/models/{ref}/evaluation", tags=["models"])

MAX_CSV_NUMBERS = 4_000_000
"""Most probabilities in a table; writing them as text takes some seconds."""


class ConfusionQuery(SplitQuery):
    share: Share = Field(
        "none",
        description="What the numbers are: `none` counts images, `actual` gives shares of the "
        "images of each class, and `predicted` shares of those that are read as it.",
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


class ReliabilityQuery(SplitQuery):
    bins: int = Field(15, ge=2, le=100, description="Number of intervals of probability.")
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


@router.get(
    "",
    response_model=Evaluation,
    responses=NOT_MODIFIED,
    name="get_evaluation",
    summary="Evaluate a network on a whole set",
)
async def get_evaluation(asking: AskingDep, query: Annotated[EvaluationQuery, Query()]) -> Response:
    """Count what the network says about each image of a set.

    Loss and accuracy have the bits that the job records for its epochs. The other figures are those
    of scikit-learn, with null where there is nothing to divide by.
    """

    def write(question: Question[EvaluationQuery]) -> bytes:
        return figures(question, _tempered(asking.services, question))

    return await answer(asking, query, "json", write, keep=True)


@router.get(
    "/confusion.{format}",
    response_class=Response,
    responses=binary("png", "svg", "csv"),
    name="get_confusion",
    summary="Draw the confusion matrix",
)
async def get_confusion(
    asking: AskingDep,
    format: Annotated[Literal["png", "svg", "csv"], Path(description="The file's format.")],
    query: Annotated[ConfusionQuery, Query()],
) -> Response:
    """Return how often each class is read as each other one, as a picture or a table.

    Rows are what the images show, columns what the network says. Mistakes have a colour scale of
    their own, in which the diagonal has no part.
    """
    return await answer(asking, query, format, CONFUSION[format])


@router.get(
    "/reliability.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="get_reliability",
    summary="Draw the reliability diagram",
)
async def get_reliability(
    asking: AskingDep,
    format: Annotated[Literal["png", "svg"], Path(description="The file's format.")],
    query: Annotated[ReliabilityQuery, Query()],
) -> Response:
    """Draw how often the network is right, by the probability that it gives.

    Probabilities that can be trusted give bars that end at the diagonal. Below stands the number of
    images in each interval.
    """

    def write(question: Question[ReliabilityQuery]) -> bytes:
        found = question.asked.found.calibration(query.bins)
        return reliability.draw(found.bins, found.ece, format=format, theme=query.theme)

    return await answer(asking, query, format, write)


@router.get(
    "/predictions.{format}",
    response_class=Response,
    responses=binary("csv", "npy"),
    name="get_predictions",
    summary="Download the predictions for a whole set",
)
async def get_predictions(
    asking: AskingDep,
    format: Annotated[Literal["csv", "npy"], Path(description="The file's format.")],
    query: Annotated[SplitQuery, Query()],
) -> Response:
    """Return what the network says about each image, in the order of the rows.

    CSV has a line for each image: its row, what it shows, what the network says, and the
    probability of each class. An `.npy` file has the probabilities: float32 (rows, classes), in the
    order of the network's classes.
    """
    return await answer(asking, query, format, PREDICTIONS[format])


# --- Writing --------------------------------------------------------------------------------------


def _tempered(services: Services, question: Question[EvaluationQuery]) -> Tempered | None:
    """Return what a temperature changes, if the client asks for it."""
    asked, query = question.asked, question.query
    if query.calibrate == "none":
        return None
    validation = None
    if asked.dataset.manifest.rows.get("validation") and asked.split != "validation":
        own = evaluated(services, asked.model, asked.dataset, "validation", asked.normalize)
        validation = own.found
    found = tempered(asked.found, query.bins, validation)
    _keep_temperature(services, asked, found)
    return found


def _keep_temperature(services: Services, asked: Evaluated, found: Tempered) -> None:
    """Keep a temperature for predictions, if it was fitted well on the network's own data set."""
    model = asked.model
    if found.doubt is not None:
        return
    if asked.dataset.sha256 != model.manifest.sha256 or asked.normalize != "never":
        return
    split = VALIDATION if found.fitted_on == VALIDATION else asked.split
    fitted = Temperature(found.temperature, split, found.fitted_on, found.fitted_rows)
    services.temperatures.keep(model.job, model.checkpoint.sha256, fitted)


def _confusion_csv(question: Question[ConfusionQuery]) -> bytes:
    shown = confusion.shares(question.asked.found.confusion, question.query.share)
    names = question.asked.classes
    rows = ([name, *row] for name, row in zip(names, shown.tolist(), strict=True))
    return csv_lines([["actual", *names]], rows)


def _drawn(format: Format) -> Callable[[Question[ConfusionQuery]], bytes]:
    def draw(question: Question[ConfusionQuery]) -> bytes:
        asked, query = question.asked, question.query
        wrong, rows = int((~asked.found.is_right).sum()), len(asked.found.labels)
        title = f"{wrong:,} of {rows:,} {asked.split} images are misread"
        counts = asked.found.confusion
        return confusion.draw(
            counts, asked.classes, title, format=format, theme=query.theme, share=query.share
        )

    return draw


def _predictions_csv(question: Question[SplitQuery]) -> bytes:
    found, names = question.asked.found, question.asked.classes
    if found.logits.size > MAX_CSV_NUMBERS:
        raise HTTPException(
            422,
            f"{found.logits.size:,} probabilities are too many for a table, which may have "
            f"{MAX_CSV_NUMBERS:,}: ask for predictions.npy.",
        )
    said = zip(found.labels.tolist(), found.predicted.tolist(), strict=True)
    lines = (
        [index, names[actual], names[predicted], *(f"{p:.7g}" for p in row)]
        for index, ((actual, predicted), row) in enumerate(
            zip(said, _probabilities(question).tolist(), strict=True)
        )
    )
    return csv_lines([["index", "actual", "predicted", *(f"p({name})" for name in names)]], lines)


def _probabilities(question: Question[SplitQuery]) -> np.ndarray:
    found = question.asked.found
    table = np.empty((len(found.labels), found.classes), np.float32)
    for label in range(found.classes):
        table[:, label] = found.probabilities(label)
    return table


CONFUSION: dict[str, Callable[[Question[ConfusionQuery]], bytes]] = {
    "csv": _confusion_csv,
    "png": _drawn("png"),
    "svg": _drawn("svg"),
}
PREDICTIONS: dict[str, Callable[[Question[SplitQuery]], bytes]] = {
    "csv": _predictions_csv,
    "npy": lambda question: npy_file(_probabilities(question)),
}
