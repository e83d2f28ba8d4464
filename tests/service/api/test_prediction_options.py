"""The options of a prediction: `top_k`, `normalize` and `return_pixels`."""

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.image_requests import PATH, SEVEN, ask, ask_json, check, encoded, only


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_best_candidates_come_first_and_all_ten_sum_to_one(
    reader: TestClient, images: NDArray[np.uint8], k: int
) -> None:
    in_query = only(ask(reader, encoded(images[3]), "image/png", top_k=k))["top_k"]
    in_body = only(ask_json(reader, {"dataset": "mnist", "index": 3}, top_k=k))["top_k"]
    assert in_query == in_body
    chances = [candidate["probability"] for candidate in in_query]
    assert len(chances) == k
    assert chances == sorted(chances, reverse=True)
    assert (sum(chances) == pytest.approx(1, abs=1e-6)) == (k == 10)


@pytest.mark.parametrize(
    "query",
    [
        "top_k=0",
        "top_k=11",
        "normalize=maybe",
        "return_pixels=2",
        "abstain_below=1.1",
        "abstain_below=nan",
    ],
)
def test_a_bad_option_is_refused_by_name(
    reader: TestClient, images: NDArray[np.uint8], query: str
) -> None:
    headers = {"Content-Type": "image/png"}
    answer = reader.post(f"{PATH}?{query}", content=encoded(images[0]), headers=headers)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_a_network_abstains_below_a_probability(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    plain = only(ask(reader, encoded(images[3]), "image/png"))
    assert "abstained" not in plain
    for below, abstained in ((plain["probability"], False), (plain["probability"] + 1e-6, True)):
        in_query = only(ask(reader, encoded(images[3]), "image/png", abstain_below=below))
        in_body = only(ask_json(reader, {"dataset": "mnist", "index": 3}, abstain_below=below))
        assert in_query == plain | {"abstained": abstained}
        assert in_body["abstained"] == abstained


def test_an_image_in_mnists_form_passes_unchanged_and_is_returned(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    prediction = only(ask(reader, encoded(images[2]), "image/png", return_pixels=True))
    rows, columns = np.nonzero(images[2])
    left, top = columns.min(), rows.min()
    assert prediction["input"] == {
        "normalized": False,
        "inverted": False,
        "box": [left, top, columns.max() - left + 1, rows.max() - top + 1],
        "pixels": images[2].tolist(),
    }
    assert "pixels" not in only(ask(reader, encoded(images[2]), "image/png"))["input"]


def test_a_large_dark_digit_on_a_light_background_is_brought_into_mnists_form(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]]
) -> None:
    big = np.kron(255 - images[SEVEN], np.ones((9, 9), np.uint8))
    photo = np.pad(big, ((0, 200), (300, 0)), constant_values=255)
    prediction = only(ask(reader, encoded(photo), "image/png", return_pixels=True))
    assert prediction["label"] == 7
    assert (prediction["input"]["normalized"], prediction["input"]["inverted"]) == (True, True)
    seen = np.array(prediction["input"]["pixels"], float)
    assert np.abs(seen - images[SEVEN]).mean() < 12
    assert prediction["probability"] == pytest.approx(expected[SEVEN][7], abs=0.2)


def test_normalizing_can_be_forced_or_forbidden(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]]
) -> None:
    body = encoded(images[SEVEN])
    assert only(ask(reader, body, "image/png", normalize="always"))["input"]["normalized"]
    negative = encoded(255 - images[SEVEN])
    check(only(ask(reader, negative, "image/png", normalize="auto")), expected[SEVEN])
    prediction = only(ask(reader, negative, "image/png", normalize="never", return_pixels=True))
    assert prediction["input"]["pixels"] == (255 - images[SEVEN]).tolist()


def test_without_normalizing_a_picture_must_have_the_networks_size(reader: TestClient) -> None:
    answer = ask(reader, encoded(np.eye(30, 40, dtype=np.uint8)), "image/png", normalize="never")
    check_problem(answer, 422)
    assert answer.json()["detail"].endswith("must be 28x28, not 40x30.")


def test_a_faint_picture_is_answered_with_a_warning(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    faint = encoded(np.kron(100 + images[SEVEN] // 8, np.ones((4, 4), np.uint8)))
    assert "low_contrast" in only(ask(reader, faint, "image/png"))["warnings"]


@pytest.mark.parametrize("path", [PATH, f"{PATH}.npy"])
def test_hints_are_about_predictions_on_both_routes(reader: TestClient, path: str) -> None:
    body = {"inputs": [{"dataset": "mnist", "index": 7}], "lr": 1, "top_j": 2}
    errors = {it["pointer"]: it for it in reader.post(path, json=body).json()["errors"]}
    assert "hint" not in errors["#/lr"]  # that of a job would be learning_rate
    assert errors["#/top_j"]["hint"] == "did you mean 'top_k'?"


def test_the_numbers_of_a_json_body_may_have_a_decimal_point(reader: TestClient) -> None:
    path = "/v1/models/latest/predict"
    whole = b'{"inputs": [{"dataset": "mnist", "index": 7}], "top_k": 2}'
    point = b'{"inputs": [{"dataset": "mnist", "index": 7.0}], "top_k": 2e0}'
    headers = {"Content-Type": "application/json"}
    answers = [reader.post(path, content=body, headers=headers) for body in (whole, point)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    schemas = reader.get("/openapi.json").json()["components"]["schemas"]
    index = schemas["ImageInput"]["properties"]["index"]["anyOf"][0]
    assert index == {"type": "integer", "minimum": 0, "maximum": 2**31}
    half = reader.post(path, content=point.replace(b"7.0", b"7.5"), headers=headers)
    assert "must be a whole number" in half.json()["detail"]


def test_a_field_of_a_json_body_overrides_the_query_parameter_of_the_same_name(
    reader: TestClient,
) -> None:
    inputs = {"inputs": [{"dataset": "mnist", "index": 1}]}
    for body, count in ((inputs, 1), (inputs | {"top_k": 2}, 2)):
        answer = reader.post(PATH, json=body, params={"top_k": 1, "return_pixels": True})
        [prediction] = answer.json()["predictions"]
        assert len(prediction["top_k"]) == count
        assert prediction["input"]["pixels"]
