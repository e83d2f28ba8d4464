"""Evaluations of a network on a whole set: its figures and its confusion matrix."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import Field

from mlp_client.evaluations import Evaluation as EvaluationRecord
from service.api.conditional import conditional, unchanged
from service.api.curves import Theme
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.network_headers import name_network
from service.api.openapi import binary
from service.api.sample_choice import SplitName
from service.api.validation import QueryParameters
from service.api.weights import Ref, newest
from service.inference.evaluate import Evaluation
from service.inference.loaded_model import LoadedModel
from service.pictures import confusion

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_PRODUCTS = 2e12
"""Most multiplications and additions of an evaluation; they take some 20 seconds."""

BIN_FIELDS = ("from", "to", "rows", "confidence", "accuracy")
"""Those of `inference.evaluate.Bin`, as clients read them."""

FileFormat = Literal["json", "csv", "png", "svg"]


class SplitQuery(QueryParameters):
    dataset: str | None = Field(
        None,
        max_length=64,
        description="The data set; by default the one on which the network was trained.",
    )
    split: SplitName = Field("test", description="The training or the test set.")


class EvaluationQuery(SplitQuery):
    bins: int = Field(
        10, ge=2, le=100, description="Number of intervals of probability in the calibration."
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


@dataclass(frozen=True)
class Evaluated:
    """A network, what it was asked about, and what it said."""

    model: LoadedModel
    dataset: str
    split: SplitName
    classes: list[str]
    found: Evaluation

    def named(self) -> dict[str, Any]:
        """Return the fields that name the network and the images."""
        checkpoint = self.model.checkpoint
        return {
            "model": self.model.job,
            "epochs_done": checkpoint.epochs_done,
            "checkpoint_sha256": checkpoint.sha256,
            "dataset": self.dataset,
            "split": self.split,
        }


@router.get(
    "/{ref}/evaluation.{format}",
    response_model=EvaluationRecord,
    responses=binary("csv", "png", "svg"),
    name="get_evaluation",
    summary="Evaluate a network on a whole set",
)
async def get_evaluation(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    format: Annotated[FileFormat, Path(description="The file's format.")],
    query: Annotated[EvaluationQuery, Query()],
) -> Response:
    """Count what the network says about each image of a set.

    JSON has loss and accuracy, the confusion matrix (rows are the true digits), precision, recall
    and F1 of each class, and how far probabilities can be trusted. CSV, PNG and SVG are the
    confusion matrix.
    """
    source = ("evaluation", *query.model_dump().values())
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, format, (checkpoint, *source)):
        return answer

    def write() -> Response:
        model = cached or services.models.get(ref)
        asked = evaluated(services, model, query.dataset or model.dataset, query.split)
        made = conditional(
            request,
            format,
            (asked.model.checkpoint, *source),
            lambda: WRITERS[format](asked, query),
        )
        name_network(made, asked.model.checkpoint)
        return made

    return await HEAVY_POOL.run(request, write)


def evaluated(services: Services, model: LoadedModel, name: str, split: SplitName) -> Evaluated:
    """Return what a network says about all images of a split of the data set `name`.

    Raises:
        DatasetNotFound: there is no such data set.
        HTTPException: it has other images or classes than the network expects, or too many.
        NetworkDiverged: the network's outputs are not finite.

    """
    info = services.datasets.describe(name)
    sizes, shape = model.network.sizes, info.shape
    if (sizes[0], sizes[-1]) != (shape.inputs, shape.classes):
        raise HTTPException(
            422,
            f"The data set {name!r} has {shape.inputs} pixels and {shape.classes} classes, and "
            f"this network {sizes[0]} and {sizes[-1]}: choose another one with ?dataset.",
        )
    rows = shape.train_rows if split == "train" else shape.test_rows
    if 2 * rows * sum(W.size for W in model.network.weights) > MAX_PRODUCTS:
        raise HTTPException(
            422, f"The network is too large to read {rows:,} images at once: ask for ?split=test."
        )
    images = getattr(services.datasets.open(name), split)
    found = services.evaluations.of(model, name, split, images)
    return Evaluated(model, name, split, info.classes, found)


def _json(asked: Evaluated, query: EvaluationQuery) -> bytes:
    found = asked.found
    error, bins = found.calibration(query.bins)
    answer = {
        "object": "evaluation",
        **asked.named(),
        "rows": len(found.labels),
        "loss": found.loss,
        "accuracy": found.accuracy,
        "majority_accuracy": int(found.confusion.sum(axis=1).max()) / len(found.labels),
        "mistakes": int((~found.is_right).sum()),
        "confusion": found.confusion.tolist(),
        "classes": _classes(asked),
        "calibration": {
            "ece": error,
            "bins": [dict(zip(BIN_FIELDS, it, strict=True)) for it in bins],
        },
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def _classes(asked: Evaluated) -> list[dict[str, Any]]:
    """Return the figures of each class; null where nothing can be divided by."""
    confusion = asked.found.confusion
    right = np.diag(confusion).tolist()
    rows, said = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    return [
        {
            "label": label,
            "name": name,
            "rows": rows[label],
            "predicted": said[label],
            "precision": _share(right[label], said[label]),
            "recall": _share(right[label], rows[label]),
            "f1": _share(2 * right[label], rows[label] + said[label]),
        }
        for label, name in enumerate(asked.classes)
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _csv(asked: Evaluated, _: EvaluationQuery) -> bytes:
    rows = [["actual", *asked.classes]]
    for name, counts in zip(asked.classes, asked.found.confusion.tolist(), strict=True):
        rows.append([name, *map(str, counts)])
    return "".join(",".join(row) + "\r\n" for row in rows).encode()


def _drawn(format: confusion.Format) -> Callable[[Evaluated, EvaluationQuery], bytes]:
    def draw(asked: Evaluated, query: EvaluationQuery) -> bytes:
        wrong, rows = int((~asked.found.is_right).sum()), len(asked.found.labels)
        title = f"{wrong:,} of {rows:,} {asked.split} images are misread"
        counts = asked.found.confusion
        return confusion.draw(counts, asked.classes, title, format=format, theme=query.theme)

    return draw


WRITERS: dict[FileFormat, Callable[[Evaluated, EvaluationQuery], bytes]] = {
    "json": _json,
    "csv": _csv,
    "png": _drawn("png"),
    "svg": _drawn("svg"),
}
