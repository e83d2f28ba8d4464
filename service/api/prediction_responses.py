"""Writes the answer to a prediction request: JSON, or an array of probabilities."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import HTTPException, Response
from pydantic_core import to_json

from mlp_client.predictions import Prediction
from service.api import problem_responses
from service.api.content_negotiation import accepts, type_for
from service.api.explanation_parts import parts_of
from service.api.network_headers import name_classes, name_network
from service.api.npy_file import npy_file
from service.api.predict_schema import CSV, NPY
from service.domain.dataset_manifest import InputForm
from service.domain.errors import BadImage
from service.domain.request_facts import REQUEST
from service.inference.image_normalization import Normalized
from service.inference.predict import Options, PredictedBatch

MAX_CSV_NUMBERS = 2_000_000
UNSURE = 0.9
"""A less probable label gets a warning: of MNIST's test set 3 %, with 11 of 12 wrong answers."""


def response(
    batch: PredictedBatch, options: Options, headers: Mapping[str, str], *, as_array: bool
) -> Response:
    """Return the predictions as JSON; as an array or a table if the route or `Accept` ask for it.

    Raises:
        HTTPException: a table is asked for, and has too many numbers.

    """
    _note(batch)
    if as_array or accepts(headers, NPY):
        answer = Response(_npy(batch), media_type=type_for(headers, NPY))
        name_classes(answer, batch.model.manifest.classes)
    elif accepts(headers, CSV):
        answer = Response(_csv(batch), media_type=f"{CSV}; charset=utf-8")
    else:
        answer = Response(_json(batch, options), media_type="application/json")
    name_network(answer, batch.model.checkpoint)
    if found := batch.model.tempered:
        answer.headers["Temperature"] = f"{found.temperature:.6g}; fitted-on={found.split}"
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
    if found := batch.model.tempered:
        content["tempered"] = asdict(found)
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


def _csv(batch: PredictedBatch) -> bytes:
    """Return a line for each image: its index, the class and all probabilities.

    Only the index of an image that can't be read is known.
    """
    if batch.probabilities.size > MAX_CSV_NUMBERS:
        raise HTTPException(
            422,
            f"{batch.probabilities.size:,} probabilities are too many for a table, which may have "
            f"{MAX_CSV_NUMBERS:,}: send fewer images, or ask for application/x-npy.",
        )
    names, bad = batch.model.manifest.classes, set(batch.images.bad)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["index", "predicted", *(f"p({name})" for name in names)])
    for index, row in enumerate(batch.probabilities.tolist()):
        said = [names[row.index(max(row))], *(f"{it:.7g}" for it in row)]
        table.writerow([index, *(("" for _ in said) if index in bad else said)])
    return text.getvalue().encode()


def _predictions(batch: PredictedBatch, options: Options) -> list[dict[str, Any]]:
    labels, probabilities = batch.top(options.top_k)
    images = batch.images
    manifest = batch.model.manifest
    rows = zip(labels, probabilities, images.boxes.tolist(), strict=True)
    found = [_prediction(*row, manifest.classes, inverted=images.inverted) for row in rows]
    for index, other in images.others.items():
        if isinstance(other, BadImage):
            problem = Prediction(problem=problem_responses.of(other.at(options.place(index))))
            found[index] = problem.model_dump(exclude_none=True)
        else:
            found[index]["input"] = _input(other)
            found[index]["warnings"][:0] = other.warnings
    if manifest.input is InputForm.VECTOR:
        _tell_clipped(found, images.clipped)
    for index in options.ambiguous:
        found[index]["warnings"].append("ambiguous_range")
    if options.abstain_below is not None:
        _abstain(found, options.abstain_below)
    if options.return_:
        _explain(found, batch, options.return_)
    if options.return_pixels or "pixels" in options.return_:
        _show_pixels(found, images.pixels)
    return found


def _show_pixels(found: list[dict[str, Any]], pictures: np.ndarray) -> None:
    """Add what the network was given to each prediction, in place: rows of numbers."""
    rows = pictures.reshape(*pictures.shape[:2], -1)  # red, green and blue one after the other
    for prediction, pixels in zip(found, rows, strict=True):
        if "input" in prediction:
            prediction["input"]["pixels"] = pixels.tolist()


def _tell_clipped(found: list[dict[str, Any]], clipped: Mapping[int, Sequence[str]]) -> None:
    """Say of vectors which numbers were clipped, in place of what was done to a picture."""
    for prediction in found:
        prediction.pop("input", None)
    for index, columns in clipped.items():
        found[index]["warnings"].append("clipped")
        found[index]["clipped"] = list(columns)


def _abstain(found: list[dict[str, Any]], below: float) -> None:
    """Say of each prediction whether it is less probable than that, in place."""
    for prediction in found:
        if "problem" not in prediction:
            prediction["abstained"] = prediction["probability"] < below


def _explain(found: list[dict[str, Any]], batch: PredictedBatch, wanted: Collection[str]) -> None:
    """Add the wanted parts of the explanation to each prediction, in place."""
    for name, values in parts_of(batch, wanted).items():
        for prediction, value in zip(found, values, strict=True):
            if "problem" not in prediction:
                prediction[name] = value


def _prediction(
    labels: list[int],
    probabilities: list[float],
    box: list[int],
    names: Sequence[str],
    *,
    inverted: bool,
) -> dict[str, Any]:
    pairs = zip(labels, probabilities, strict=True)
    return {
        "label": labels[0],
        "name": names[labels[0]],
        "probability": probabilities[0],
        "top_k": [
            {"label": label, "name": names[label], "probability": probability}
            for label, probability in pairs
        ],
        "input": {"normalized": False, "inverted": inverted, "box": box},
        "warnings": ["unsure"] if probabilities[0] < UNSURE else [],
    }


def _input(image: Normalized) -> dict[str, Any]:
    report = image.report
    return {
        "normalized": not report.unchanged,
        "inverted": report.inverted,
        "box": report.box,
    }
