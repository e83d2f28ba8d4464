"""The first steps of a user, with a real server, real workers and the real MNIST."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tests.support.server_process import Server

Points = list[tuple[float, float]]
# The strokes of each digit in a box of 1 x 1, as drawn by hand.
DRAWINGS: dict[int, list[Points]] = {
    1: [[(0.5, 0.0), (0.5, 1.0)]],
    2: [[(0.1, 0.25), (0.3, 0.03), (0.7, 0.03), (0.9, 0.25), (0.8, 0.5), (0.1, 1.0), (0.95, 1.0)]],
    7: [[(0.05, 0.05), (0.95, 0.05), (0.4, 1.0)]],
}


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path
) -> Iterator[tuple[Server, str]]:
    server = Server(tmp_path_factory.mktemp("first_use"), datasets_dir).start()
    job = server.submit(preset="mlp-relu", epochs=6, name="first")
    server.wait(job, "succeeded")
    yield server, job
    server.stop()


def draw(
    digit: int, size: tuple[int, int], at: tuple[int, int], height: int, pen: int
) -> Image.Image:
    """Draw white ink on black, antialiased."""
    fine = Image.new("L", (size[0] * 4, size[1] * 4))
    pencil = ImageDraw.Draw(fine)
    for stroke in DRAWINGS[digit]:
        points = [((at[0] + x * height * 0.7) * 4, (at[1] + y * height) * 4) for x, y in stroke]
        pencil.line(points, fill=255, width=pen * 4, joint="curve")
        for x, y in (points[0], points[-1]):
            pencil.ellipse((x - pen * 2, y - pen * 2, x + pen * 2, y + pen * 2), fill=255)
    return fine.resize(size, Image.Resampling.BOX)


def as_photo(drawing: Image.Image) -> Image.Image:
    """Turn a drawing into a grey, blurred, noisy picture, lit from one side."""
    noise = np.random.default_rng(5).normal(0, 6, drawing.size[::-1])
    light = np.linspace(150, 215, drawing.width)[np.newaxis, :]
    ink = np.asarray(drawing.filter(ImageFilter.GaussianBlur(2)), np.float64) / 255
    return Image.fromarray((light * (1 - 0.7 * ink) + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form, quality=70)
    return file.getvalue()


@pytest.mark.parametrize("digit", sorted(DRAWINGS))
def test_a_drawing_has_one_label_however_it_was_saved(
    trained: tuple[Server, str], digit: int
) -> None:
    server, job = trained
    ink = draw(digit, (500, 400), (260, 120), 200, 22)
    sent = {
        "image/png": encoded(draw(digit, (28, 28), (8, 5), 18, 2), "PNG"),
        "image/png; dark on light": encoded(Image.eval(ink, lambda value: 255 - value), "PNG"),
        "image/jpeg": encoded(as_photo(ink), "JPEG"),
    }
    labels = {}
    for media_type, body in sent.items():
        headers = {"Content-Type": media_type.split(";")[0]}
        answer = server.http.post(f"/v1/models/{job}/predict", content=body, headers=headers)
        labels[media_type] = answer.json()["predictions"][0]["label"]
    assert labels == dict.fromkeys(sent, digit)


def test_a_finished_job_reports_its_cost_metrics_and_progress(trained: tuple[Server, str]) -> None:
    server, id_ = trained
    job = server.job(id_)
    assert job["cost"]["parameters"] == 784 * 128 + 128 + 128 * 10 + 10
    assert job["metrics"]["final"] == job["metrics"]["latest"]
    assert job["metrics"]["best"]["test_accuracy"] > 0.95
    assert job["progress"] == {
        "epochs_done": 6,
        "epochs": 6,
        "batches_done": 0,
        "batches_per_epoch": 938,
        "fraction": 1.0,
        "eta_seconds": None,
    }


def test_pictures_of_a_finished_job_are_pictures(trained: tuple[Server, str]) -> None:
    server, id_ = trained
    for path, size in {
        f"/v1/jobs/{id_}/curves.png?width=600&height=300": None,
        f"/v1/models/{id_}/layers/1/weights.png": None,
        "/v1/datasets/mnist/test/0.png": (28, 28),
    }.items():
        picture = Image.open(io.BytesIO(server.http.get(path).content))
        picture.load()
        assert size in (None, picture.size)


def test_a_network_predicts_while_its_job_still_trains(trained: tuple[Server, str]) -> None:
    server, _ = trained
    job = server.submit(preset="mlp-relu", epochs=100)
    server.wait_for_progress(job, 0.02)
    body = {"inputs": [{"dataset": "mnist", "index": 0}]}
    answer = server.http.post(f"/v1/models/{job}/predict", json=body)
    server.act(job, "cancel")
    assert answer.json()["predictions"][0]["label"] == 7
    assert answer.json()["epochs_done"] < 100


def test_httpx_drives_the_service_as_any_client_would(trained: tuple[Server, str]) -> None:
    server, _ = trained
    with httpx.Client(base_url=server.url) as client:
        job = client.post("/v1/jobs", json={"preset": "linear", "epochs": 1}).json()
        with client.stream("GET", f"/v1/jobs/{job['id']}/events", timeout=30) as stream:
            lines = list(stream.iter_lines())
        assert '"state": "succeeded"' in lines[-3]
        picture = client.get("/v1/datasets/mnist/test/0.png").content
        answer = client.post("/v1/models/latest/predict", files={"image": ("7.png", picture)})
        assert answer.json()["predictions"][0]["label"] == 7
