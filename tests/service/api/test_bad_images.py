"""Images and forms that can't be read, alone and together with good images."""

import base64
import gc
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.image_requests import (
    BLANK,
    PATH,
    SEVEN,
    ask,
    ask_json,
    encoded,
    npy,
)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (BLANK, "stands out"),
        ({"pixels": [[1, 2], [3]]}, "#/inputs/0: send 784 whole numbers"),
        ({"base64": "!"}, "#/inputs/0: the text is not valid base64"),
        ({"base64": base64.b64encode(b"no picture").decode()}, "picture"),
        ({"dataset": "mnist", "index": 10_000}, "#/inputs/0: test has rows 0 to 9999"),
        ({"dataset": "fashion", "index": 1}, "#/inputs/0: There is no data set 'fashion'"),
    ],
)
def test_one_bad_image_is_a_problem_and_among_others_has_its_own(
    reader: TestClient, bad: dict[str, Any], word: str
) -> None:
    alone = ask_json(reader, bad)
    check_problem(alone, 422)
    assert (alone.json()["code"], word in alone.json()["detail"]) == ("bad-image", True)
    answer = ask_json(reader, bad, {"dataset": "mnist", "index": SEVEN}).json()
    first, second = answer["predictions"]
    assert first["problem"]["code"] == "bad-image"
    assert "label" not in first
    assert (second["label"], "problem" in second) == (7, False)


def test_several_bad_images_are_several_problems(reader: TestClient) -> None:
    answer = ask_json(reader, BLANK, {"base64": ""}, BLANK)
    assert answer.status_code == 200
    problems = [prediction["problem"]["status"] for prediction in answer.json()["predictions"]]
    assert problems == [422, 422, 422]


def test_a_bad_file_among_others_has_its_own_problem(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    files = [("image", ("a", encoded(images[0]))), ("image", ("b", b"text"))]
    first, second = reader.post(PATH, files=files).json()["predictions"]
    assert (first["label"], second["problem"]["code"]) == (7, "bad-image")


def test_a_form_without_an_image_is_told_to_add_one(reader: TestClient) -> None:
    answer = reader.post(PATH, files={"top_k": (None, "3")})
    check_problem(answer, 422)
    assert "no file" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"--x\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\n" + b"A" * 100_000 + b"\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 12 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + b"b" * 2_000_000,
    ],
    ids=["empty", "garbage", "nameless", "header", "fields", "text"],
)
def test_a_broken_form_is_a_problem(reader: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    check_problem(reader.post(PATH, content=body, headers=headers), 400, 422)


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # Starlette leaves its file open
def test_a_truncated_form_is_a_problem(reader: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
    check_problem(ask(reader, body, "multipart/form-data; boundary=x"), 400, 422)
    gc.collect()


def test_a_form_without_its_boundary_is_a_problem(reader: TestClient) -> None:
    check_problem(ask(reader, b"--x\r\n", "multipart/form-data"), 400)


def test_the_pictures_of_a_request_share_a_budget(reader: TestClient) -> None:
    file = io.BytesIO()
    page = Image.new("L", (1900, 1900), 255)
    page.paste(0, (900, 500, 1000, 1400))
    page.save(file, "PNG")
    files = [("image", ("one.png", file.getvalue()))] * 8
    answers = reader.post(PATH, files=files).json()["predictions"]
    refused = ["problem" in answer for answer in answers]
    assert refused == [False] * 5 + [True] * 3
    assert "send fewer" in answers[-1]["problem"]["detail"]


@pytest.mark.parametrize(("shape", "status"), [((1000, 28, 28), 200), ((1001, 28, 28), 422)])
def test_more_pictures_than_can_be_redrawn_are_refused_together(
    reader: TestClient, images: NDArray[np.uint8], shape: tuple[int, ...], status: int
) -> None:
    body = npy(np.resize(np.roll(images[0], 3, axis=0), shape))
    answer = ask(reader, body, "application/x-npy")
    assert answer.status_code == status
    if status == 422:
        check_problem(answer, 422)
        assert "one request may have at most 1,000" in answer.json()["detail"]
    assert ask(reader, body, "application/x-npy", normalize="never").status_code == 200
