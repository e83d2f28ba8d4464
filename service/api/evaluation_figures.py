"""The figures of an evaluation as the JSON that clients read."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from service.api.evaluated import Evaluated, EvaluationQuery
from service.api.evaluation_answers import Question
from service.inference import classification_metrics as metrics
from service.inference.tempering import Tempered

MOST_CONFUSED = 50
"""Most pairs of classes that are listed."""
LINKED = (
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


def figures(question: Question[EvaluationQuery], tempered: Tempered | None) -> bytes:
    """Return the record `Evaluation` as JSON."""
    asked, query = question.asked, question.query
    content = {
        "object": "evaluation",
        **asked.named(),
        **_overall(asked, query.top_k),
        **_of_classes(asked),
        "confusion": {
            "rows": "actual",
            "columns": "predicted",
            "counts": asked.found.confusion.tolist(),
        },
        "calibration": _calibration(asked, query.bins),
        "tempered": asdict(tempered) if tempered else None,
        "confused": _confused(question),
        "misread": int((~asked.found.is_right).sum()),
        "links": _links(question),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _overall(asked: Evaluated, top_k: list[int]) -> dict[str, Any]:
    found, counts = asked.found, asked.found.confusion
    rows = len(found.labels)
    return {
        "rows": rows,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "accuracy_interval": metrics.wilson_interval(int(np.trace(counts)), rows),
        "majority_accuracy": int(counts.sum(axis=1).max()) / rows,
        "top_k": {str(k): found.ranked[k - 1] for k in top_k if k <= found.classes},
        "kappa": metrics.kappa(counts),
        "mcc": metrics.mcc(counts),
        "brier": found.brier,
    }


def _of_classes(asked: Evaluated) -> dict[str, Any]:
    """Return the figures of each class, and their means."""
    counts = asked.found.confusion
    support, predicted = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    each = metrics.by_class(counts)
    classes = [
        {"index": index, "name": name, "support": rows, "predicted": said}
        | asdict(own)
        | {"roc_auc": area}
        for index, (name, rows, said, own, area) in enumerate(
            zip(asked.classes, support, predicted, each, asked.found.roc_aucs, strict=True)
        )
    ]
    return {
        "balanced_accuracy": metrics.balanced_accuracy(each),
        "macro": asdict(metrics.macro(each)),
        "weighted": asdict(metrics.weighted(each, support)),
        "classes": classes,
    }


def _calibration(asked: Evaluated, bins: int) -> dict[str, Any]:
    found = asked.found.calibration(bins)
    each = [
        {
            "from": own.start,
            "to": own.end,
            "count": own.count,
            "confidence": own.confidence,
            "accuracy": own.accuracy,
        }
        for own in found.bins
    ]
    return {"ece": found.ece, "mce": found.mce, "bins": each}


def _confused(question: Question[EvaluationQuery]) -> list[dict[str, Any]]:
    """Return the pairs of classes that are confused, the most frequent first."""
    names, counts = question.asked.classes, question.asked.found.confusion.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = zip(*(each.tolist() for each in np.unravel_index(order, counts.shape)), strict=True)
    return [
        {"actual": names[actual], "predicted": names[said], "count": int(counts[actual, said])}
        | {"examples": question.address("misread.png", actual=names[actual], predicted=names[said])}
        for actual, said in pairs
        if counts[actual, said]
    ]


def _links(question: Question[EvaluationQuery]) -> dict[str, str]:
    links = {file.replace(".", "_"): question.address(file) for file in LINKED}
    return links | {"misread": question.address("misread.json")}
