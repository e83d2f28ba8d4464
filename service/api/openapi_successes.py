"""Describes the successful answer of each operation in the OpenAPI document: examples, headers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.api.evaluation_examples import COMPARISON, EVALUATION, MISREAD, QUEUED_TASK, TASK
from service.api.event_schemas import FIRST_EPOCH
from service.api.openapi_examples import (
    CANCELLED_JOB,
    COLLECTING_DATASET,
    DATASET,
    FINISHED_JOB,
    FROZEN_DATASET,
    JOB_ID,
    LAST_EPOCH,
    LISTED_JOB,
    PREDICTIONS,
    QUEUED_DATASET,
    QUEUED_JOB,
    SHA256,
    SPEC,
    SYSTEM,
    VERTICAL_BAR,
)


def header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


CACHING = {
    "ETag": header(
        "Identifies this answer; send it as `If-None-Match` to get 304 while it is unchanged.",
        '"0f343b0931126a20f133d67c2b018a3b"',
    ),
    "Cache-Control": header("Caches may keep the answer but must revalidate it.", "no-cache"),
}
RETRY_AFTER = {
    "Retry-After": header(
        "Seconds to wait before trying again; present only if that may help.", "1"
    )
}
AUTHENTICATE = {"WWW-Authenticate": header("How to authenticate.", "Bearer")}
CREATED = {
    "Location": header("Address of the job.", f"/v1/jobs/{JOB_ID}"),
    "Idempotent-Replayed": header(
        "`true` if an earlier request with this `Idempotency-Key` created the job; else absent.",
        "true",
    ),
}
NETWORK = {
    "Model": header("Id of the job that trained the network.", JOB_ID),
    "Epochs-Done": header("Number of epochs that the network was trained for.", "2"),
    "Checkpoint-Sha256": header("SHA-256 of its checkpoint.", SHA256),
}
TEMPERED = {
    "Temperature": header(
        "By what the logits were divided, and on which split that was fitted; absent unless "
        "`calibrated` was set.",
        "1.37; fitted-on=test",
    )
}
UNITS = {
    "Units": header("How many units the layer has.", "128"),
    "Scale": header("The value of 1 in an array of int8; absent with float32.", "0.00412"),
}
CLASSES = {
    "Classes": header(
        "Names of the classes, in the order of the columns, as a JSON list in ASCII; absent if it "
        "would be longer than 2,000 bytes.",
        '["0","1","2","3","4","5","6","7","8","9"]',
    )
}
SET_COOKIE = {
    "Set-Cookie": header(
        "The cookie, `HttpOnly` and `SameSite=Strict`; its name depends on the data directory.",
        "mlp_5d0f3a=…; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200",
    )
}
FILE_NAME = {
    "Content-Disposition": header(
        "Suggests a file name.", f'attachment; filename="{JOB_ID}.safetensors"'
    )
}
CREATED_DATASET = {"Location": header("Address of the data set.", "/v1/datasets/letters")}
DOWNLOAD = {
    "Content-Disposition": header("Suggests a file name.", 'attachment; filename="mnist-test.npz"')
}


class Success(NamedTuple):
    """The successful answer of an operation."""

    description: str
    example: Any = None
    """An example of its JSON."""
    headers: Mapping[str, Any] = {}


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
            "data": [LISTED_JOB],
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
        "The figures.",
        EVALUATION,
        NETWORK,
    ),
    "compare_networks": Success("The comparison.", COMPARISON, NETWORK),
    "get_class_epochs": Success("The shares of each class, by epoch."),
    "get_confusion": Success("The confusion matrix.", headers=NETWORK),
    "get_reliability": Success("The reliability diagram.", headers=NETWORK),
    "get_predictions": Success("The predictions.", headers=NETWORK),
    "draw_misread": Success("The images as a picture.", headers=NETWORK),
    "draw_confusions": Success("The images by pair of classes.", headers=NETWORK),
    "draw_film": Success("The film."),
    "list_misread": Success(
        "The images, the surest mistakes first.",
        MISREAD,
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
    "stream_dataset": Success("The events as they happen, each with its data as JSON."),
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
    "predict": Success("The prediction for each image.", PREDICTIONS, NETWORK | TEMPERED),
    "predict_array": Success(
        "The probabilities as an array.", headers=NETWORK | CLASSES | TEMPERED
    ),
    "create_evaluation": Success(
        "The evaluation, which waits for a worker.",
        QUEUED_TASK,
        {"Location": header("Address of its state.", QUEUED_TASK["links"]["self"])},
    ),
    "list_evaluations": Success("The newest evaluations.", {"object": "list", "data": [TASK]}),
    "get_evaluation_task": Success("The evaluation's state.", TASK),
    "delete_evaluation": Success("The evaluation is deleted."),
    "list_datasets": Success("The data sets.", {"object": "list", "data": [DATASET]}),
    "get_samples": Success("The images as an array."),
    "get_labels": Success("The labels as an array."),
    "get_dataset": Success("The data set.", DATASET),
    "put_dataset": Success("The data set; its check follows.", QUEUED_DATASET, CREATED_DATASET),
    "create_dataset": Success("The data set; its check follows.", QUEUED_DATASET, CREATED_DATASET),
    "add_sample": Success("The data set, with its samples.", COLLECTING_DATASET, CREATED_DATASET),
    "delete_sample": Success("The sample is deleted."),
    "freeze_dataset": Success("The data set; its check follows.", FROZEN_DATASET),
    "delete_dataset": Success("The data set is deleted."),
    "get_dataset_report": Success(
        "The report.",
        {
            "object": "dataset_report",
            "dataset": "letters",
            "state": "ready",
            "rows": {"train": 1000, "test": 100},
            "shape": [28, 28],
            "channels": 1,
            "classes": [
                {
                    "index": 0,
                    "name": "alpha",
                    "source": "alpha",
                    "train": 100,
                    "validation": 0,
                    "test": 10,
                }
            ],
            "input": "image",
            "found": {"format": "zip", "label": "parent folder", "ignored": {"system files": 31}},
            "warnings": [
                {
                    "code": "leak",
                    "detail": "Test rows that are copies of training rows.",
                    "count": 2,
                    "examples": ["test/alpha/3.png"],
                }
            ],
            "errors": [],
            "sha256": SHA256,
            "bytes": 862400,
        },
    ),
    "download_arrays": Success("The arrays.", headers=DOWNLOAD),
    "download_table": Success("A header line and one line for each row.", headers=DOWNLOAD),
    "draw_samples": Success("The samples as a picture."),
    "get_sample_picture": Success("The sample's pixels as a picture."),
    "get_sample": Success(
        "The sample.",
        {
            "dataset": "mnist",
            "split": "test",
            "index": 7,
            "label": 1,
            "name": "1",
            "pixels": VERTICAL_BAR,
        },
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
