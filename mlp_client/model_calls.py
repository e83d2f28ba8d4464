"""The calls that concern trained networks."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from mlp_client import npy
from mlp_client.calls import Call, Calls, body, record
from mlp_client.errors import ApiError
from mlp_client.evaluation_records import EvaluationTask
from mlp_client.evaluations import Comparison, Evaluation, Misread
from mlp_client.image_parts import ImagePart
from mlp_client.npy import FloatArray, Probabilities
from mlp_client.pictures import Picture, PictureFormat, picture
from mlp_client.predictions import Prediction, Predictions
from mlp_client.records import Snapshot, Snapshots

Split = Literal["train", "validation", "test"]
Form = Literal["never", "auto"]
WeightsFormat = Literal["safetensors", "npz", "json"]
BAD_IMAGE = "bad-image"
"""The code of the problem that a single image can't be read."""


@dataclass(frozen=True)
class Answered:
    """The predictions of one request."""

    predictions: list[Prediction]
    model: str | None
    """The job that answered, or None if it is not known."""


@dataclass(frozen=True)
class Rows:
    """The probabilities of one request."""

    probabilities: Probabilities
    model: str | None


def predict_images(
    parts: Iterator[ImagePart], ref: str, options: dict[str, Any], *, many: bool
) -> Calls[Answered]:
    """Yield the calls that predict pictures, with the network that answers the first one.

    Args:
        parts: the pictures, in parts for one request each.
        ref: which network.
        options: the options of a prediction.
        many: whether a picture that can't be read gets a prediction with a problem.

    """
    for part in parts:
        call = _picture_call(part, f"/v1/models/{ref}/predict", options, many=many)
        answered = yield call
        ref = same_model(answered.model, ref)


def predict_array(parts: Iterator[bytes], ref: str, options: dict[str, Any]) -> Calls[Answered]:
    """Yield the calls that predict the images of `.npy` files; see `predict_images`."""
    for part in parts:
        arguments = _array_arguments(part, options, "application/json")
        answered = yield Call("POST", f"/v1/models/{ref}/predict", _answered, arguments)
        ref = same_model(answered.model, ref)


def probabilities(parts: Iterator[bytes], ref: str, options: dict[str, Any]) -> Calls[Rows]:
    """Yield the calls that ask for the probabilities of the images of `.npy` files."""
    for part in parts:
        arguments = _array_arguments(part, options, npy.MEDIA_TYPE)
        rows = yield Call("POST", f"/v1/models/{ref}/predict", _rows, arguments)
        ref = same_model(rows.model, ref)


def same_model(answered: str | None, ref: str) -> str:
    """Return the reference of the network that answered; `latest` may soon mean another one."""
    _, at, epoch = ref.partition("@")
    return f"{answered}{at}{epoch}" if answered else ref


def evaluated_network(task: EvaluationTask) -> str:
    """Return the reference of the network that a worker was asked about, which may train on."""
    return task.links.evaluation.rpartition("/models/")[2].partition("/")[0]


def snapshots(ref: str) -> Call[list[Snapshot]]:
    def parse(response: httpx2.Response) -> list[Snapshot]:
        return Snapshots.model_validate_json(response.content).data

    return Call("GET", f"/v1/models/{ref}/snapshots", parse)


def evaluation(ref: str, asked: dict[str, Any]) -> Call[Evaluation]:
    return Call("GET", f"/v1/models/{ref}/evaluation", record(Evaluation), _given(asked))


def comparison(ref: str, asked: dict[str, Any]) -> Call[Comparison]:
    path = f"/v1/models/{ref}/evaluation/comparison"
    return Call("GET", path, record(Comparison), _given(asked))


def misread(ref: str, asked: dict[str, Any]) -> Call[Misread]:
    path = f"/v1/models/{ref}/evaluation/misread.json"
    return Call("GET", path, record(Misread), _given(asked))


def evaluation_picture(ref: str, file: str, asked: dict[str, Any]) -> Call[Picture]:
    return Call("GET", f"/v1/models/{ref}/evaluation/{file}", picture, _given(asked))


def set_probabilities(ref: str, asked: dict[str, Any]) -> Call[Probabilities]:
    path = f"/v1/models/{ref}/evaluation/predictions.npy"
    return Call("GET", path, lambda response: npy.read_floats(response.content), _given(asked))


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that have a value, as arguments of a request."""
    return {"params": {name: it for name, it in parameters.items() if it is not None}}


def film(ref: str, looks: dict[str, Any]) -> Call[bytes]:
    params = {name: value for name, value in looks.items() if value is not None}
    return Call("GET", f"/v1/models/{ref}/film.webp", body, {"params": params})


def weights(ref: str, format: WeightsFormat) -> Call[bytes]:
    return Call("GET", f"/v1/models/{ref}/weights.{format}", body)


def layer_array(
    ref: str, layer: int, part: Literal["weights", "biases"], options: dict[str, Any]
) -> Call[FloatArray]:
    arguments = {"params": {name: it for name, it in options.items() if it is not None}}
    path = f"/v1/models/{ref}/layers/{layer}/{part}.npy"
    return Call("GET", path, lambda response: npy.read_floats(response.content), arguments)


def layer(ref: str, layer: int, format: PictureFormat) -> Call[Picture]:
    return Call("GET", f"/v1/models/{ref}/layers/{layer}/weights.{format}", picture)


def _picture_call(
    part: ImagePart, path: str, options: dict[str, Any], *, many: bool
) -> Call[Answered]:
    def parse(response: httpx2.Response) -> Answered:
        answer = Predictions.model_validate_json(_renumbered(response.content, part.first))
        if len(answer.predictions) != len(part.images):
            raise ValueError("the response has another number of predictions than the request")
        pairs = zip(answer.predictions, part.images, strict=True)
        found = [_enlarged(prediction, image.scale) for prediction, image in pairs]
        return Answered(found, answer.model)

    def recover(error: ApiError) -> Answered | None:
        """Return a lone picture that can't be read as one of a list."""
        is_bad = many and len(part.images) == 1 and error.problem.code == BAD_IMAGE
        return Answered([Prediction(problem=error.problem)], None) if is_bad else None

    return Call("POST", path, parse, part.arguments(options), recover)


def _renumbered(content: bytes, first: int) -> bytes:
    """Return a response in which `#/inputs/0` is the first picture of the list, not of the part."""
    if first == 0:
        return content
    return re.sub(
        rb"#/inputs/(\d+)", lambda found: b"#/inputs/%d" % (first + int(found[1])), content
    )


def _enlarged(prediction: Prediction, scale: float) -> Prediction:
    """Return a prediction for a picture that was sent smaller, with the box in the original."""
    seen = prediction.input
    if scale == 1 or seen is None or seen.box is None:
        return prediction
    box = [round(side * scale) for side in seen.box]
    return prediction.model_copy(update={"input": seen.model_copy(update={"box": box})})


def _answered(response: httpx2.Response) -> Answered:
    answer = Predictions.model_validate_json(response.content)
    return Answered(answer.predictions, answer.model)


def _rows(response: httpx2.Response) -> Rows:
    found = npy.read_probabilities(response.content, response.headers.get("Classes"))
    return Rows(found, response.headers.get("Model"))


def _array_arguments(array: bytes, options: dict[str, Any], accept: str) -> dict[str, Any]:
    headers = {"Content-Type": npy.MEDIA_TYPE, "Accept": accept}
    return {"content": array, "headers": headers, "params": options}


def flat(answers: Sequence[Answered]) -> list[Prediction]:
    """Return the predictions of several requests in one list."""
    return [prediction for answer in answers for prediction in answer.predictions]
