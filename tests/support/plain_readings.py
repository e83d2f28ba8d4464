"""What a linear network says about each shipped image, computed by a few plain lines."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from tests.support.shipped_files import shipped_file

Rows = list[dict[str, Any]]


def said_by(reader: TestClient, ref: str, datasets_dir: Path, split: str = "test") -> Rows:
    """Return what a linear network says about each image, computed in float64."""
    images = shipped_file(datasets_dir, f"{split}.images")
    labels = shipped_file(datasets_dir, f"{split}.labels")
    parameters = load(reader.get(f"/v1/models/{ref}/weights.safetensors").content)
    W, b = (parameters[f"layers.1.{name}"].astype(float) for name in ("weight", "bias"))
    logits = np.load(images).astype(float) / 255 @ W + b
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    rows = []
    for index, label in enumerate(np.load(labels).tolist()):
        row: NDArray[np.float64] = probabilities[index]
        first, second = sorted(range(10), key=lambda digit: -row[digit])[:2]
        rows.append(
            {"index": index, "label": label, "predicted": first, "second": second}
            | {"probability": float(row[first]), "loss": -math.log(row[label])}
        )
    return rows
