"""The answer to a prediction request, and the network that it comes from."""

import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load
from starlette.testclient import TestClient

from mlp_client.predictions import Predictions
from service.api import predict, predict_input
from service.inference import image_decoding
from service.store.sql.database import Database
from tests.conftest import QUICK
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import World
from tests.support.drawn_digits import seven
from tests.support.engines import local_files
from tests.support.image_requests import (
    BLANK,
    PATH,
    ask,
    ask_json,
    check,
    chunk,
    encoded,
    npy,
    only,
)
from tests.support.live_service import claimed, train
from tests.support.oracles import row_probabilities


def rows(answer: Response) -> NDArray[np.float32]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    found: NDArray[np.float32] = np.load(io.BytesIO(answer.content))
    return found


def ask_for_rows(
    reader: TestClient, body: bytes, media_type: str, accept: str = "application/x-npy"
) -> Response:
    headers = {"Content-Type": media_type, "Accept": accept}
    return reader.post(PATH, content=body, headers=headers)


@pytest.mark.parametrize("count", [1, 20])
def test_the_answer_may_be_an_array(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]], count: int
) -> None:
    body = images[:count].tobytes()
    answer = ask_for_rows(
        reader, body, "application/octet-stream", "text/csv, Application/X-Npy;q=1"
    )
    found = rows(answer)
    assert found.shape == (count, 10)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(expected[:count]), abs=1e-5)
    usual = ask(reader, body, "application/octet-stream").json()
    names = ("model", "epochs_done", "checkpoint_sha256")
    headers = [answer.headers[name.replace("_", "-")] for name in names]
    assert headers == [str(usual[name]) for name in names]


@pytest.mark.parametrize("query", ["", "?normalize=always"])
def test_a_route_of_its_own_answers_with_an_array(
    reader: TestClient, images: NDArray[np.uint8], query: str
) -> None:
    """The quick path answers, and the usual one if there is a query."""
    body, headers = images[0].tobytes(), {"Content-Type": "application/octet-stream"}
    answer = reader.post(f"{PATH}.npy{query}", content=body, headers=headers)
    asked = {**headers, "Accept": "application/x-npy"}
    other = reader.post(f"{PATH}{query}", content=body, headers=asked)
    assert rows(answer).tobytes() == rows(other).tobytes()
    for name in ("Model", "Epochs-Done", "Checkpoint-Sha256"):
        assert answer.headers[name] == other.headers[name]
    assert 'http_route="/v1/models/{ref}/predict.npy"' in reader.get("/metrics").text


def test_the_array_has_the_general_type_for_a_client_that_knows_no_other(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    general = "application/octet-stream"
    headers = {"Content-Type": general, "Accept": f"{general}, */*;q=0.1"}
    answer = reader.post(f"{PATH}.npy", content=images[0].tobytes(), headers=headers)
    assert answer.headers["Content-Type"] == general
    assert np.load(io.BytesIO(answer.content)).shape == (1, 10)


def test_the_route_of_arrays_takes_no_options_of_the_other_answer(reader: TestClient) -> None:
    answer = reader.post(f"{PATH}.npy?top_k=2", json={"inputs": [{"dataset": "mnist", "index": 0}]})
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?top_k"


def test_the_route_of_arrays_allows_bodies_as_large_as_the_other(reader: TestClient) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    answer = reader.post(f"{PATH}.npy", content=bytes(784 * 1000), headers=headers)
    assert rows(answer).shape == (1000, 10)
    answer = reader.post(f"{PATH}.npy", content=bytes(predict.MAX_BODY_BYTES + 1), headers=headers)
    check_problem(answer, 413)
    assert "fewer images" in answer.json()["detail"]


def test_an_image_that_can_not_be_read_is_a_row_of_nan(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    blank = np.zeros((28, 28), np.uint8)
    pictures = np.stack([images[0], blank, 255 - images[1]])
    found = rows(ask_for_rows(reader, npy(pictures), "application/x-npy"))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]
    check_problem(ask_for_rows(reader, blank.tobytes(), "application/octet-stream"), 422)


def test_the_quick_path_and_the_endpoint_give_the_same_answers(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    """The quick path, the endpoint (with a query or a long body) and a batch agree."""
    many = ask(reader, images.tobytes(), "application/octet-stream").json()
    for number, image in enumerate(images):
        forms = [
            ("application/octet-stream", image.tobytes()),
            ("image/png", encoded(image)),
            ("application/json", json.dumps({"inputs": [{"pixels": image.tolist()}]})),
        ]
        for media_type, body in forms:
            short = ask(reader, body, media_type).json()
            if media_type == "application/json":
                usual = ask(reader, body + " " * 10_000, media_type).json()
            else:
                usual = ask(reader, body, media_type, normalize="auto").json()
            assert short == usual
            [prediction], expected = short["predictions"], many["predictions"][number]
            assert (prediction["label"], prediction["input"]) == (
                expected["label"],
                expected["input"],
            )
            assert prediction["probability"] == pytest.approx(expected["probability"], abs=1e-6)


@pytest.mark.parametrize("query", [{}, {"normalize": "auto"}], ids=["quick path", "endpoint"])
@pytest.mark.parametrize("media_type", ["application/pdf", "text/html", "video/mp4"])
def test_a_media_type_that_is_no_picture_is_refused_on_either_path(
    reader: TestClient, images: NDArray[np.uint8], media_type: str, query: dict[str, str]
) -> None:
    assert ask(reader, encoded(images[0]), "image/png").status_code == 200  # it is cached now
    check_problem(ask(reader, encoded(images[0]), media_type, **query), 415)


def test_hints_of_the_route_of_arrays_come_from_its_own_fields(reader: TestClient) -> None:
    answer = reader.post(f"{PATH}.npy", json={"inputs": [{"dataset": "mnist", "idex": 0}]})
    assert answer.json()["errors"][0]["hint"] == "did you mean 'index'?"


def test_the_answer_matches_its_schema(reader: TestClient, images: NDArray[np.uint8]) -> None:
    blank, negative = np.zeros((28, 28), np.uint8), 255 - images[1]
    pictures = np.stack([images[0], blank, negative])
    body = {"inputs": [{"pixels": image.tolist()} for image in pictures], "return_pixels": True}
    answer = reader.post(PATH, json=body).json()
    assert Predictions.model_validate(answer).model_dump(exclude_none=True) == answer


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_the_box_is_in_pixels_of_the_picture_that_was_sent(
    reader: TestClient, format: str, count: int
) -> None:
    page = np.asarray(seven((2400, 2000), (1300, 500, 1900, 1500), pen=120))
    assert page.size > image_decoding.FULL_PIXELS
    rows, columns = np.nonzero(page < 128)
    answer = reader.post(PATH, files=[("photo", encoded(page, format))] * count)
    for prediction in answer.json()["predictions"]:
        left, top, width, height = prediction["input"]["box"]
        assert (left, top) == pytest.approx((columns.min(), rows.min()), abs=8)
        assert left + width == pytest.approx(columns.max() + 1, abs=8)
        assert top + height == pytest.approx(rows.max() + 1, abs=8)


def test_a_digit_is_answered_without_a_thread(
    reader: TestClient, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(reader, images[0].tobytes(), "application/octet-stream")  # now the network is cached
    monkeypatch.setattr(predict, "to_thread", None)
    for image in images:
        assert only(ask(reader, image.tobytes(), "application/octet-stream"))["label"] is not None
        assert only(ask(reader, encoded(image), "image/png"))["label"] is not None
    metrics = reader.get("/metrics").text
    assert 'http_route="/v1/models/{ref}/predict"' in metrics


def test_a_deleted_network_can_not_predict_any_more(
    api: TestClient, data_dir: Path, datasets_dir: Path, images: NDArray[np.uint8]
) -> None:
    """The network is still in the cache, but the database is asked every time."""
    job = train(data_dir, datasets_dir, **QUICK)
    path, body = f"/v1/models/{job}/predict", images[0].tobytes()
    headers = {"Content-Type": "application/octet-stream"}
    for _ in range(3):
        assert api.post(path, content=body, headers=headers).status_code == 200
    assert api.delete(f"/v1/jobs/{job}").status_code == 204
    check_problem(api.post(path, content=body, headers=headers), 404)


@local_files
def test_the_answer_names_the_network_it_comes_from(reader: TestClient, world: World) -> None:
    answer = ask_json(reader, {"dataset": "mnist", "index": 1}).json()
    assert (answer["model"], answer["epochs_done"]) == (world.linear, 2)
    [path] = Path(world.data_dir).glob(f"jobs/{world.linear}/1/2-0.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert answer["checkpoint_sha256"] == digest


@pytest.mark.parametrize("query", ["", "?top_k=1"])
def test_headers_name_the_network_too(reader: TestClient, world: World, query: str) -> None:
    """The quick path answers, and the usual one if there is a query."""
    refused = reader.post(PATH + query, json={"inputs": [{"pixels": [0] * 784}]})
    assert "Model" not in refused.headers  # no network was asked
    body = {"inputs": [{"dataset": "mnist", "index": 1}]}
    answer = reader.post(PATH + query, json=body)
    named = [answer.headers[name] for name in ("Model", "Epochs-Done", "Checkpoint-Sha256")]
    content = answer.json()
    assert named == [world.linear, "2", content["checkpoint_sha256"]]
    assert content["model"] == world.linear


def test_a_deep_network_is_computed_through_all_its_layers(
    reader: TestClient, world: World, images: NDArray[np.uint8]
) -> None:
    tensors = load(reader.get(f"/v1/models/{world.deep}/weights.safetensors").content)
    layers = [(tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in (1, 2, 3)]
    parameters = [(W.astype(float), b.astype(float)) for W, b in layers]
    body = {"inputs": [{"dataset": "mnist", "index": 4}]}
    prediction = only(reader.post(f"/v1/models/{world.deep}/predict", json=body))
    check(prediction, row_probabilities(parameters, "tanh", images[4].ravel() / 255))


def test_a_job_without_a_checkpoint_suggests_a_retry(
    api: TestClient, api_database: Database
) -> None:
    running, queued = submit(api), submit(api)
    assert claimed(api_database).job == running
    for job in (running, queued):
        answer = api.post(f"/v1/models/{job}/predict", json={"inputs": [BLANK]})
        check_problem(answer, 409)
        assert answer.json()["code"] == "no-checkpoint-yet"
        assert answer.headers["Retry-After"] == "1"


def test_a_job_that_ended_without_a_checkpoint_does_not_suggest_a_retry(api: TestClient) -> None:
    job = submit(api)
    assert api.post(f"/v1/jobs/{job}/cancel").status_code == 200
    answer = api.post(f"/v1/models/{job}/predict", json={"inputs": [BLANK]})
    check_problem(answer, 409)
    assert "never" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers


def test_a_network_that_has_diverged_is_a_problem_in_every_form(
    api: TestClient, data_dir: Path, datasets_dir: Path, images: NDArray[np.uint8]
) -> None:
    job = train(data_dir, datasets_dir, **QUICK)
    app: Any = api.app
    weights = app.state.services.models.get(job).arrays["layers.1.weight"]
    weights.setflags(write=True)
    weights[:] = 3e38
    for body, media_type, accept in (
        (images[0].tobytes(), "application/octet-stream", "*/*"),
        (images[0].tobytes(), "application/octet-stream", "application/x-npy"),
        (encoded(images[0]), "image/png", "*/*"),
        (json.dumps({"inputs": [{"dataset": "mnist", "index": 1}]}), "application/json", "*/*"),
    ):
        headers = {"Content-Type": media_type, "Accept": accept}
        answer = api.post(f"/v1/models/{job}/predict", content=body, headers=headers)
        check_problem(answer, 409)
        assert answer.json()["code"] == "network-diverged"


@pytest.mark.parametrize("path", ["/v1/jobs/latest", "/v1/models/Latest/weights.npz"])
def test_latest_where_it_means_nothing_is_explained(reader: TestClient, path: str) -> None:
    answer = reader.get(path)
    check_problem(answer, 404)
    assert "/v1/models/latest" in answer.json()["detail"]


def test_there_is_no_latest_model_before_a_job_has_succeeded(api: TestClient) -> None:
    submit(api)
    answer = api.post(PATH, json={"inputs": [BLANK]})
    check_problem(answer, 404)
    assert answer.json()["code"] == "job-not-found"
    assert "latest" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "quick"),
    [
        (b'{"inputs": [{"pixels": [0, 1]}]}', True),
        (b'{"inputs": [{"base64": "aGk="}], "top_k": 2}', True),
        (b'{"inputs": [{}, 1, 1, 1, 1, 1, 1, 1]}', False),
        (b'{"inputs": [{"dataset": "mnist", "index": 1}]}', False),
        (b'{"inputs": [{"d\\u0061taset": "mnist", "index": 1}]}', False),
        (b'{"inputs": [{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}]}', False),
        (b'{"a": 1, "b": 1, "c": 1, "d": 1, "inputs": [{}]}', False),
        (b'{"inputs": {"pixels": []}}', False),
        (b'[{"inputs": [{}]}]', False),
    ],
)
def test_only_json_with_one_image_is_read_on_the_event_loop(body: bytes, quick: bool) -> None:
    parsed = predict_input.parse("application/json", body)
    assert predict_input.is_quick("application/json", parsed) == quick


def test_a_picture_that_hides_its_size_is_not_read_on_the_event_loop() -> None:
    file, other = io.BytesIO(), chunk(b"tEXt", bytes([0, 0, 0, 28] * 2))
    Image.new("L", (2000, 2000)).save(file, "PNG")
    png = file.getvalue()
    assert not image_decoding.is_small_png(png[:8] + other + png[8:])


def test_a_picture_with_exif_is_not_read_on_the_event_loop() -> None:
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG")
    assert image_decoding.is_small_png(file.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 3
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG", exif=exif)
    assert not image_decoding.is_small_png(file.getvalue())


def test_an_answer_of_low_probability_has_a_warning_on_every_path(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    """The quick path, a picture that is redrawn, the endpoint and a batch."""
    halves = [image // 2 + other // 2 for image, other in itertools.pairwise(images)]
    pictures = [image.tobytes() for image in images] + [image.tobytes() for image in halves]
    found = [only(ask(reader, body, "application/octet-stream")) for body in pictures]
    found += [
        only(ask(reader, encoded(image), "image/png", normalize="always")) for image in halves
    ]
    found += ask(reader, b"".join(pictures), "application/octet-stream").json()["predictions"]
    unsure = ["unsure" in prediction["warnings"] for prediction in found]
    assert unsure == [prediction["probability"] < 0.9 for prediction in found]
    assert 0 < sum(unsure) < len(unsure)
