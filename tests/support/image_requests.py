"""Images as other apps send them, requests about them, and what is expected of the answers."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

PATH = "/v1/models/latest/predict"

SEVEN = 0  # the first image of the test set; most here is asked about it


def encoded(pixels: NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def ask(reader: TestClient, body: bytes, media_type: str, **query: Any) -> Response:
    headers = {"Content-Type": media_type}
    return reader.post(PATH, content=body, headers=headers, params=query)


def ask_json(reader: TestClient, *inputs: object, **fields: object) -> Response:
    return reader.post(PATH, json={"inputs": list(inputs), **fields})


def only(answer: Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    prediction: dict[str, Any]
    [prediction] = answer.json()["predictions"]
    return prediction


def check(
    prediction: dict[str, Any], probabilities: NDArray[np.float64], tolerance: float = 1e-5
) -> None:
    ranked = sorted(range(10), key=lambda label: -probabilities[label])[:3]
    assert [candidate["label"] for candidate in prediction["top_k"]] == ranked
    answered = [candidate["probability"] for candidate in prediction["top_k"]]
    assert answered == pytest.approx([probabilities[label] for label in ranked], abs=tolerance)
    assert (prediction["label"], prediction["probability"]) == (ranked[0], answered[0])


BLANK = {"pixels": [[9] * 28] * 28}


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
