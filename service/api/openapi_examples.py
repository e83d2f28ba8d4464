"""Examples of answers, for the OpenAPI document."""

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
ASKED = {
    "model": JOB_ID,
    "epochs_done": 12,
    "checkpoint_sha256": SHA256,
    "dataset": "mnist",
    "split": "test",
}
