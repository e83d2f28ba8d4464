"""Writes the answer to a prediction request: JSON, or an array of probabilities."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from fastapi import Response
from pydantic_core import to_json

from mlp_client.predictions import Prediction
from service.api import problem_responses
from service.api.content_negotiation import accepts, type_for
from service.api.explanation_parts import parts_of
from service.api.network_headers import name_network
from service.api.npy_file import npy_file
from service.api.predict_schema import NPY
from service.domain.errors import BadImage
from service.domain.request_facts import REQUEST
from service.inference.image_normalization import Normalized
from service.inference.predict import Options, PredictedBatch

UNSURE = 0.9
"""A less probable label gets a warning: of MNIST's test set 3 %, with 11 of 12 wrong answers."""


def response(
    batch: PredictedBatch, options: Options, headers: Mapping[str, str], *, as_array: bool
) -> Response:
    """Return the predictions as JSON, or as an array if the route or `Accept` ask for one."""
    _note(batch)
    if as_array or accepts(headers, NPY):
        answer = Response(_npy(batch), media_type=type_for(headers, NPY))
    else:
        answer = Response(_json(batch, options), media_type="application/json")
    name_network(answer, batch.model.checkpoint)
    return answer


def _json(batch: PredictedBatch, options: Options) -> bytes:
    checkpoint = batch.model.checkpoint
    # Written as the record `Predictions` would be; building ten thousand records takes longer.
    content = {
        "object": "predictions",
        "model": checkpoint.job,
        "epochs_done": checkpoint.epochs_done,
        "checkpoint_sha256": checkpoint.sha256,
        "predictions": _predictions(batch, options),
    }
    return to_json(content)


def _note(batch: PredictedBatch) -> None:
    """Add what was predicted to the facts about the request."""
    if not (facts := REQUEST.get()):
        return
    facts.model, facts.predictions = batch.model.job, len(batch.probabilities)
    for other in batch.images.others.values():
        if isinstance(other, BadImage):
            facts.predictions -= 1
            facts.refusals += (other.code,)
        else:
            facts.warnings += other.warnings


def _npy(batch: PredictedBatch) -> bytes:
    """Return the probabilities (n, classes) as a file, with NaN for images that can't be read."""
    batch.probabilities[batch.images.bad] = np.nan
    return npy_file(batch.probabilities)


def _predictions(batch: PredictedBatch, options: Options) -> list[dict[str, Any]]:
    labels, probabilities = batch.top(options.top_k)
    images = batch.images
    rows = zip(labels, probabilities, images.boxes.tolist(), strict=True)
    found = [_prediction(*row) for row in rows]
    for index, other in images.others.items():
        if isinstance(other, BadImage):
            problem = Prediction(problem=problem_responses.of(other.at(options.place(index))))
            found[index] = problem.model_dump(exclude_none=True)
        else:
            found[index]["input"] = _input(other)
            found[index]["warnings"][:0] = other.warnings
    for index in options.ambiguous:
        found[index]["warnings"].append("ambiguous_range")
    if options.return_:
        _explain(found, batch, options.return_)
    if options.return_pixels or "pixels" in options.return_:
        for prediction, pixels in zip(found, images.pixels, strict=True):
            if "input" in prediction:
                prediction["input"]["pixels"] = pixels.tolist()
    return found


def _explain(found: list[dict[str, Any]], batch: PredictedBatch, wanted: Collection[str]) -> None:
    """Add the wanted parts of the explanation to each prediction, in place."""
    for name, values in parts_of(batch, wanted).items():
        for prediction, value in zip(found, values, strict=True):
            if "problem" not in prediction:
                prediction[name] = value


def _prediction(labels: list[int], probabilities: list[float], box: list[int]) -> dict[str, Any]:
    pairs = zip(labels, probabilities, strict=True)
    return {
        "label": labels[0],
        "probability": probabilities[0],
        "top_k": [{"label": label, "probability": probability} for label, probability in pairs],
        "input": {"normalized": False, "inverted": False, "box": box},
        "warnings": ["unsure"] if probabilities[0] < UNSURE else [],
    }


def _input(image: Normalized) -> dict[str, Any]:
    report = image.report
    return {
        "normalized": not report.unchanged,
        "inverted": report.inverted,
        "box": report.box,
    }
