"""Examples of evaluations for the OpenAPI document."""

from typing import Any

from service.api.openapi_examples import JOB_ID, SHA256

ADDRESS = f"/v1/models/{JOB_ID}/evaluation"
FILES = (
    "confusion.png",
    "confusion.svg",
    "confusion.csv",
    "reliability.png",
    "reliability.svg",
    "misread.png",
    "confusions.png",
    "predictions.csv",
    "predictions.npy",
)
ASKED = {
    "model": JOB_ID,
    "epochs_done": 12,
    "checkpoint_sha256": SHA256,
    "dataset": "mnist",
    "dataset_sha256": SHA256,
    "split": "test",
    "normalize": "never",
}
TASK_ID = "ev_0190c2f5c3b87d3fa1b2c3d4e5f60718"
TASK: dict[str, Any] = {
    "object": "evaluation_task",
    "id": TASK_ID,
    "state": "running",
    "reason": None,
    "owner": None,
    **ASKED,
    "rows": 1_000_000,
    "progress": 0.25,
    "created_at": "2026-03-02T09:15:00.000000Z",
    "finished_at": None,
    "links": {"self": f"/v1/evaluations/{TASK_ID}", "evaluation": ADDRESS},
}
QUEUED_TASK = {**TASK, "state": "queued", "progress": None}
EVALUATION: dict[str, Any] = {
    "object": "evaluation",
    **ASKED,
    "rows": 10000,
    "loss": 0.0787,
    "accuracy": 0.9769,
    "accuracy_interval": [0.9738, 0.9797],
    "majority_accuracy": 0.1135,
    "top_k": {"1": 0.9769, "3": 0.9971, "5": 0.9994},
    "kappa": 0.9743,
    "mcc": 0.9743,
    "brier": 0.0356,
    "balanced_accuracy": 0.9767,
    "macro": {"precision": 0.9767, "recall": 0.9767, "f1": 0.9767},
    "weighted": {"precision": 0.9769, "recall": 0.9769, "f1": 0.9769},
    "classes": [
        {
            "index": 0,
            "name": "0",
            "support": 980,
            "predicted": 982,
            "precision": 0.9878,
            "recall": 0.9898,
            "f1": 0.9888,
            "roc_auc": 0.9999,
        }
    ],
    "confusion": {
        "rows": "actual",
        "columns": "predicted",
        "counts": [[970, 10], [12, 1123]],
    },
    "calibration": {
        "ece": 0.0041,
        "mce": 0.0924,
        "bins": [{"from": 0.9, "to": 1.0, "count": 9355, "confidence": 0.994, "accuracy": 0.993}],
    },
    "tempered": None,
    "confused": [
        {
            "actual": "4",
            "predicted": "9",
            "count": 17,
            "examples": f"{ADDRESS}/misread.png?actual=4&predicted=9",
        }
    ],
    "misread": 231,
    "links": {
        **{file.replace(".", "_"): f"{ADDRESS}/{file}" for file in FILES},
        "misread": f"{ADDRESS}/misread.json",
    },
}
COMPARISON: dict[str, Any] = {
    "object": "comparison",
    **ASKED,
    "unlike": {**ASKED, "epochs_done": 1},
    "rows": 10000,
    "accuracy": 0.9769,
    "unlike_accuracy": 0.9422,
    "both": 9388,
    "only_this": 381,
    "only_other": 34,
    "neither": 197,
    "mcnemar": {"method": "chi-squared", "statistic": 288.5, "p_value": 1e-64},
    "links": {
        "only_this": f"/v1/models/{JOB_ID}@1/evaluation/misread.json?unlike={JOB_ID}",
        "only_other": f"{ADDRESS}/misread.json?unlike={JOB_ID}%401",
    },
}
MISREAD: dict[str, Any] = {
    "object": "list",
    **ASKED,
    "data": [
        {
            "index": 2654,
            "actual": "6",
            "predicted": "1",
            "probability": 0.9987,
            "second": "6",
            "sample": "/v1/datasets/mnist/test/2654.png",
            "unlike": None,
        }
    ],
    "total": 231,
    "unlike": None,
    "reverse_total": None,
    "has_more": True,
}
