"""Completes the OpenAPI document with examples, headers and API keys."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI

from service.api import openapi_schemas
from service.api.conditional import MEDIA_TYPES
from service.api.content_negotiation import OCTETS
from service.api.event_schemas import FIRST_EPOCH, JobEvent
from service.api.predict_schema import BINARY, PREDICT_FORM, PredictRequest
from service.api.stream_schemas import ServiceEvent

ANY = "any"
"""The scope of routes that every key opens, and that answer without one as well."""
JSON = "application/json"
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
TENSORS: dict[str, Any] = {
    "type": "object",
    "description": "The arrays by name, and a description of the network.",
    "properties": {"__metadata__": {"type": "object", "additionalProperties": {"type": "string"}}},
    "required": ["__metadata__"],
    "additionalProperties": {"type": "array", "items": {}},
}
FILES: dict[str, Any] = {"text/csv": TEXT, JSON: {"schema": TENSORS}}
"""How to describe the files that are not binary, by media type."""


# --- What endpoints declare -----------------------------------------------------------------------

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client already has this answer: its `If-None-Match` names the ETag."}
}


def binary(*suffixes: str) -> dict[int | str, dict[str, Any]]:
    """Describe a conditional answer: a file in the media types of these suffixes."""
    types = [MEDIA_TYPES[suffix].split(";")[0] for suffix in suffixes]
    content = {media_type: FILES.get(media_type, BINARY) for media_type in [*types, OCTETS]}
    return {200: {"content": content}, **NOT_MODIFIED}


# --- Examples -------------------------------------------------------------------------------------

JOB_ID = "job_019ac6a5-73f4-7b21-9c3e-5d0f3a1b2c4d"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SPEC = {
    "preset": "linear",
    "name": "first try",
    "tags": [],
    "metadata": {},
    "dataset": "mnist",
    "hidden": [],
    "activation": "relu",
    "initialization": "he_normal",
    "initial_bias": 0.01,
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 0.1,
    "optimizer": {"type": "sgd", "momentum": 0.0, "nesterov": False},
    "l2": 0.0,
    "schedule": "constant",
    "augmentation": None,
    "seed": 1,
}
LAST_EPOCH = {
    "epoch": 2,
    "train_loss": 0.2804,
    "train_accuracy": 0.9215,
    "test_loss": 0.2791,
    "test_accuracy": 0.9211,
    "seconds": 0.12,
}
QUEUED_JOB = {
    "object": "job",
    "id": JOB_ID,
    "state": "queued",
    "owner": None,
    "reason": None,
    "attempt": 0,
    "lost_workers": 0,
    "spec": SPEC,
    "spec_version": 1,
    "cost": {"parameters": 7850, "bytes": 3_735_704, "flops": 5_958_400_000.0, "seconds": 0.2},
    "progress": {
        "epochs_done": 0,
        "epochs": 2,
        "batches_done": 0,
        "batches_per_epoch": 938,
        "fraction": 0.0,
        "eta_seconds": None,
    },
    "checkpoint": None,
    "queue_position": 1,
    "metrics": {"latest": None, "best": None, "final": None},
    "weights_sha256": None,
    "learned": None,
    "bit_exact": True,
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": None,
    "finished_at": None,
    "links": {
        "self": f"/v1/jobs/{JOB_ID}",
        "epochs": f"/v1/jobs/{JOB_ID}/epochs",
        "events": f"/v1/jobs/{JOB_ID}/events",
        "curves": f"/v1/jobs/{JOB_ID}/curves.png",
        "weights": f"/v1/models/{JOB_ID}/layers/1/weights.png",
        "predict": f"/v1/models/{JOB_ID}/predict",
    },
}
FINISHED_JOB = QUEUED_JOB | {
    "state": "succeeded",
    "reason": {"code": "epochs_done", "message": "All epochs are done."},
    "attempt": 1,
    "progress": {
        "epochs_done": 2,
        "epochs": 2,
        "batches_done": 0,
        "batches_per_epoch": 938,
        "fraction": 1.0,
        "eta_seconds": None,
    },
    "checkpoint": {"epochs_done": 2, "batches_done": 0, "sha256": SHA256},
    "queue_position": None,
    "metrics": {"latest": LAST_EPOCH, "best": LAST_EPOCH, "final": LAST_EPOCH},
    "weights_sha256": SHA256,
    "learned": True,
    "started_at": "2026-01-31T12:00:00.200000Z",
    "finished_at": "2026-01-31T12:00:01Z",
}
CANCELLED_JOB = QUEUED_JOB | {
    "state": "cancelled",
    "reason": {"code": "user", "message": "A client cancelled it."},
    "queue_position": None,
    "finished_at": "2026-01-31T12:00:01Z",
}
PREDICTIONS = {
    "object": "predictions",
    "model": JOB_ID,
    "epochs_done": 2,
    "checkpoint_sha256": SHA256,
    "predictions": [
        {
            "label": 7,
            "probability": 0.998,
            "top_k": [
                {"label": 7, "probability": 0.998},
                {"label": 9, "probability": 0.0012},
                {"label": 3, "probability": 0.0004},
            ],
            "input": {"normalized": False, "inverted": False, "box": [6, 7, 16, 20]},
            "warnings": [],
        }
    ],
}
DATASET = {
    "object": "dataset",
    "name": "mnist",
    "description": "Handwritten digits, 28x28 grey pixels",
    "image_shape": [28, 28],
    "classes": list("0123456789"),
    "train_rows": 60_000,
    "test_rows": 10_000,
    "class_counts": {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    },
    "sha256": {"t10k-labels-idx1-ubyte.gz": SHA256},
    "license": "CC BY-SA 3.0",
    "attribution": "Yann LeCun and Corinna Cortes",
}
SYSTEM = {
    "object": "system",
    "version": "1.0.0",
    "keys": {"required": False},
    "instance": "5d0f3a1b2c4d9c3e",
    "web": "4f0c2a6d1b7e",
    "ready": True,
    "checks": {"database": True, "data_dir": True, "dispatcher": True},
    "slots": {"total": 2, "busy": 1},
    "jobs": {
        "queued": 3,
        "running": 1,
        "pausing": 0,
        "paused": 0,
        "cancelling": 0,
        "succeeded": 5,
        "failed": 0,
        "cancelled": 1,
    },
    "limits": {
        "layers": 16,
        "width": 8192,
        "parameters": 20_000_000,
        "epochs": 10_000,
        "batch_size": 8192,
    },
    "session": {"owner": None, "scopes": ["admin"], "expires_at": None},
}
VERTICAL_BAR = [
    [255 if 4 <= row < 24 and 13 <= column < 16 else 0 for column in range(28)] for row in range(28)
]


# --- Headers --------------------------------------------------------------------------------------


def _header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


CACHING = {
    "ETag": _header(
        "Identifies this answer; send it as `If-None-Match` to get 304 while it is unchanged.",
        '"0f343b0931126a20f133d67c2b018a3b"',
    ),
    "Cache-Control": _header("Caches may keep the answer but must revalidate it.", "no-cache"),
}
RETRY_AFTER = {
    "Retry-After": _header(
        "Seconds to wait before trying again; present only if that may help.", "1"
    )
}
AUTHENTICATE = {"WWW-Authenticate": _header("How to authenticate.", "Bearer")}
CREATED = {
    "Location": _header("Address of the job.", f"/v1/jobs/{JOB_ID}"),
    "Idempotent-Replayed": _header(
        "`true` if an earlier request with this `Idempotency-Key` created the job; else absent.",
        "true",
    ),
}
NETWORK = {
    "Model": _header("Id of the job that trained the network.", JOB_ID),
    "Epochs-Done": _header("Number of epochs that the network was trained for.", "2"),
    "Checkpoint-Sha256": _header("SHA-256 of its checkpoint.", SHA256),
}
UNITS = {"Units": _header("How many units the layer has.", "128")}
SET_COOKIE = {
    "Set-Cookie": _header(
        "The cookie, `HttpOnly` and `SameSite=Strict`; its name depends on the data directory.",
        "mlp_5d0f3a=…; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200",
    )
}
FILE_NAME = {
    "Content-Disposition": _header(
        "Suggests a file name.", f'attachment; filename="{JOB_ID}.safetensors"'
    )
}


# --- Successful answers ---------------------------------------------------------------------------


class Success(NamedTuple):
    """The successful answer of an operation."""

    description: str
    example: Any = None
    """An example of its JSON."""
    headers: Mapping[str, Any] = {}


ASKED = {
    "model": JOB_ID,
    "epochs_done": 12,
    "checkpoint_sha256": SHA256,
    "dataset": "mnist",
    "split": "test",
}
SUCCESSES = {
    "create_job": Success(
        "The job, with its spec resolved to all fields, its cost and its place in the queue.",
        QUEUED_JOB,
        CREATED,
    ),
    "label_job": Success("The job with its new labels.", FINISHED_JOB),
    "act_on_jobs": Success(
        "What became of each job.",
        {
            "object": "list",
            "data": [{"id": JOB_ID, "state": "cancelled", "deleted": False, "problem": None}],
        },
    ),
    "preview_job": Success(
        "What would come of the spec: its cost, or what is wrong with it.",
        {
            "object": "job_preview",
            "ok": True,
            "spec": SPEC,
            "network": "784-10",
            "cost": QUEUED_JOB["cost"],
            "queue_position": 1,
            "errors": [],
        },
    ),
    "list_jobs": Success(
        "A page of jobs, in full or in short.",
        {
            "object": "list",
            "data": [FINISHED_JOB],
            "has_more": False,
            "first_id": JOB_ID,
            "last_id": JOB_ID,
        },
    ),
    "get_job": Success("The job.", FINISHED_JOB),
    "delete_job": Success("The job is deleted."),
    "act_on_job": Success("The job in its new state.", CANCELLED_JOB),
    "list_epochs": Success(
        "The finished epochs.", {"object": "list", "data": [FIRST_EPOCH, LAST_EPOCH]}
    ),
    "get_evaluation": Success(
        "The figures, or the confusion matrix.",
        {
            "object": "evaluation",
            **ASKED,
            "rows": 10000,
            "loss": 0.0787,
            "accuracy": 0.9769,
            "majority_accuracy": 0.1135,
            "mistakes": 231,
            "confusion": [[970, 10], [12, 1123]],
            "classes": [
                {
                    "label": 0,
                    "name": "0",
                    "rows": 980,
                    "predicted": 982,
                    "precision": 0.9878,
                    "recall": 0.9898,
                    "f1": 0.9888,
                }
            ],
            "calibration": {
                "ece": 0.0041,
                "bins": [
                    {"from": 0.9, "to": 1.0, "rows": 9355, "confidence": 0.994, "accuracy": 0.993}
                ],
            },
        },
        NETWORK,
    ),
    "draw_film": Success("The film."),
    "list_mistakes": Success(
        "The mistakes, the surest first.",
        {
            "object": "list",
            **ASKED,
            "data": [
                {
                    "index": 2654,
                    "label": 6,
                    "predicted": 1,
                    "probability": 0.9987,
                    "second": 6,
                    "unlike": None,
                }
            ],
            "total": 231,
            "unlike": None,
            "reverse_total": None,
            "has_more": True,
        },
        NETWORK,
    ),
    "list_snapshots": Success(
        "The epochs that can be named.",
        {
            "object": "list",
            "model": JOB_ID,
            "data": [
                {
                    "epoch": 0,
                    "sha256": None,
                    "bytes": 0,
                    "test_accuracy": None,
                    "best": False,
                },
                {
                    "epoch": 1,
                    "sha256": SHA256,
                    "bytes": 407440,
                    "test_accuracy": 0.932,
                    "best": True,
                },
            ],
        },
    ),
    "get_epochs_csv": Success("A header line and one line for each epoch."),
    "read_epoch_columns": Success(
        "The epochs of each job.",
        {
            "object": "epoch_columns",
            "data": {
                JOB_ID: {
                    **{name: [FIRST_EPOCH[name], LAST_EPOCH[name]] for name in LAST_EPOCH},
                    "of": 2,
                }
            },
        },
    ),
    "list_presets": Success(
        "The presets.",
        {
            "object": "list",
            "data": [{"name": "linear", "description": "784-10, no hidden layer", "spec": SPEC}],
        },
    ),
    "stream_all_events": Success("The events as they happen, each with its data as JSON."),
    "stream_events": Success("The events as they happen, each with its data as JSON."),
    "draw_job_curves": Success("The curves as a picture."),
    "draw_curves": Success("The curves of all the jobs as a picture."),
    "get_weights": Success(
        "The weights as a file.",
        {
            "__metadata__": {"model": JOB_ID, "epochs_done": "2", "activation": "relu"},
            "layers.1.bias": [0.012, -0.034],
            "layers.1.weight": [[0.021, -0.007], [0.003, 0.016]],
        },
        FILE_NAME | NETWORK,
    ),
    "draw_weights": Success("The weights as a picture.", headers=NETWORK),
    "get_layer": Success("The weights or biases as an array.", headers=NETWORK | UNITS),
    "predict": Success("The prediction for each image.", PREDICTIONS, NETWORK),
    "predict_array": Success("The probabilities as an array.", headers=NETWORK),
    "list_datasets": Success("The data sets.", {"object": "list", "data": [DATASET]}),
    "get_samples": Success("The images as an array."),
    "get_labels": Success("The labels as an array."),
    "get_dataset": Success("The data set.", DATASET),
    "draw_samples": Success("The samples as a picture."),
    "get_sample_picture": Success("The sample's pixels as a picture."),
    "get_sample": Success(
        "The sample.",
        {"dataset": "mnist", "split": "test", "index": 7, "label": 1, "pixels": VERTICAL_BAR},
    ),
    "livez": Success("The process answers.", {"status": "alive"}),
    "readyz": Success(
        "The service can accept and run jobs.",
        {
            "status": "ready",
            "checks": {"database": True, "data_dir": True, "dispatcher": True},
        },
    ),
    "metrics": Success("The metrics."),
    "get_system": Success("The state of the server.", SYSTEM),
    "begin_session": Success("The browser has the cookie of a session.", headers=SET_COOKIE),
    "end_session": Success("The browser has forgotten its session.", headers=SET_COOKIE),
    "get_problem": Success(
        "The problem type.",
        {
            "type": "/problems/job-not-found",
            "status": 404,
            "title": "There is no such job",
            "advice": "Look up the id in `GET /v1/jobs`.",
        },
    ),
}
"""The successful answer of each operation, by operation id."""


# --- The document ---------------------------------------------------------------------------------


def install(app: FastAPI, needed_scope: Callable[[str, str], str | None], bearer: str) -> None:
    """Make `app` complete its OpenAPI document.

    Args:
        app: the application.
        needed_scope: returns the scope that a method and a path need, None if they need no key.
        bearer: says what an API key is and how to send one.

    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _describe_authentication(document, bearer)
            _complete_schemas(document)
            for path, item in document["paths"].items():
                for method, operation in item.items():
                    _describe_success(operation)
                    _describe_failures(operation, needed_scope(method.upper(), path))
        return generate()  # FastAPI keeps the document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _describe_authentication(document: dict[str, Any], bearer: str) -> None:
    scheme = {"type": "http", "scheme": "bearer", "description": bearer}
    document["components"]["securitySchemes"] = {"bearer": scheme}
    # The second requirement is empty, because no key is needed as long as none was created.
    document["security"] = [{"bearer": []}, {}]


def _complete_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    # Events contain records that answers have, too, and always with all fields: these come first.
    sent = openapi_schemas.of_models(PredictRequest, JobEvent, ServiceEvent)
    schemas |= {name: schema for name, schema in sent.items() if name not in schemas}
    schemas["PredictForm"] = PREDICT_FORM
    openapi_schemas.without_defaults(schemas)
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                openapi_schemas.without_parameter_default(parameter)


def _describe_success(operation: dict[str, Any]) -> None:
    success = SUCCESSES[operation["operationId"]]
    responses = operation["responses"]
    status = "200" if "200" in responses else next(each for each in responses if each[0] == "2")
    response = responses[status]
    response["description"] = success.description
    for media_type in response.get("content", {}).values():
        media_type.pop("itemSchema", None)  # OpenAPI 3.2 has it, and this is a 3.1 document
    if success.example is not None:
        response["content"][JSON]["example"] = success.example
    headers = dict(success.headers)
    if "304" in responses:
        headers |= CACHING
        responses["304"]["headers"] = CACHING
    if headers:
        response["headers"] = headers


def _describe_failures(operation: dict[str, Any], scope: str | None) -> None:
    default = operation["responses"]["default"]
    default["headers"] = RETRY_AFTER
    if scope is None:
        operation["security"] = []
        return
    content = default["content"]
    operation["responses"] |= {
        "401": {
            "description": "The request has no valid API key.",
            "headers": AUTHENTICATE,
            "content": content,
        },
    }
    if scope != ANY:
        description = f"The key does not have the scope `{scope}`."
        operation["responses"]["403"] = {"description": description, "content": content}
