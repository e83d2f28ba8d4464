"""Predictions, warnings and refusals are counted, in a limited number of time series."""

from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient

from service.domain.request_facts import RequestFacts
from service.server import metrics as server_metrics
from service.server.admission import Admission
from service.server.metrics import IDLE_SECONDS, MAX_MODELS, Metrics
from tests.service.conftest import World
from tests.service.server.test_stack import PREDICT, Stacked


def counted(text: str, name: str, label: str) -> dict[str, float]:
    return {
        sample.labels[label]: sample.value
        for family in families(text)
        for sample in family.samples
        if sample.name == name
    }


def text_of(api: TestClient) -> str:
    return api.get("/metrics").text


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    grown = {label: value - before.get(label, 0) for label, value in after.items()}
    return {label: value for label, value in grown.items() if value}


def test_predictions_count_images_by_the_job_that_answered(
    reader: TestClient, world: World
) -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[6:22, 12:16] = 255
    name, label = "mlp_predictions_total", "model"
    before = counted(text_of(reader), name, label)
    headers = {"Content-Type": "application/octet-stream"}
    for _ in range(2):
        reader.post(PREDICT, content=digit.tobytes(), headers=headers)
    reader.post(PREDICT, content=5 * digit.tobytes(), headers=headers)
    path = f"/v1/models/{world.deep}/predict"
    reader.post(path, content=digit.tobytes(), headers=headers)
    after = counted(text_of(reader), name, label)
    assert growth(before, after) == {world.linear: 7, world.deep: 1}


def test_warnings_and_refusals_are_counted_for_images_among_others(reader: TestClient) -> None:
    faint = np.full((60, 60), 100, np.uint8)
    faint[20:40, 28:32] = 130
    inputs = [{"pixels": image.tolist()} for image in (faint, np.zeros((28, 28), np.uint8), faint)]
    text = text_of(reader)
    answer = reader.post(PREDICT, json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    warned = [code for each in answer.json()["predictions"] for code in each.get("warnings", [])]
    assert "low_contrast" in warned
    later = text_of(reader)
    name = "mlp_prediction_warnings_total"
    grown = growth(counted(text, name, "code"), counted(later, name, "code"))
    assert grown == {code: warned.count(code) for code in set(warned)}
    name = "mlp_refusals_total"
    grown = growth(counted(text, name, "reason"), counted(later, name, "reason"))
    assert grown == {"blank_image": 1}


def test_refusals_are_counted_by_reason(reader: TestClient) -> None:
    name, label = "mlp_refusals_total", "reason"
    before = counted(text_of(reader), name, label)
    blank = {"inputs": [{"pixels": [0] * 784}]}
    assert reader.post(PREDICT, json=blank).json()["reason"] == "blank_image"
    reader.get("/nowhere")
    reader.get("/docs", headers={"Host": "evil.example"})
    reader.post(PREDICT, json={"inputs": []})
    grown = growth(before, counted(text_of(reader), name, label))
    assert grown == {"blank_image": 1, "not-found": 1, "host-not-allowed": 1, "invalid": 1}


def test_refusals_under_overload_are_counted() -> None:
    stacked = Stacked(slots=0)
    for _ in range(3):
        stacked.client.post(PREDICT)
    assert counted(stacked.measured(), "mlp_refusals_total", "reason") == {"overloaded": 3}
    assert "mlp_predictions_refused_total 3.0" in stacked.measured()


def test_models_beyond_a_limit_are_counted_together_until_one_has_been_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(server_metrics, "monotonic", lambda: now[0])
    metrics = Metrics(Admission(1))
    scope: dict[str, Any] = {"method": "POST", "scheme": "http"}

    def predict(model: int) -> dict[str, float]:
        facts = RequestFacts("id", model=f"job_{model}", predictions=1)
        metrics.end(metrics.begin(scope), scope, facts, 200, "", 0.001)
        return counted(metrics.page(True)[0].decode(), "mlp_predictions_total", "model")

    for model in range(MAX_MODELS):
        predict(model)
    found = predict(1000)
    assert len(found) == MAX_MODELS + 1
    assert (found["job_0"], found["other"], "job_1000" in found) == (1, 1, False)
    now[0] = IDLE_SECONDS + 1.0
    assert predict(0)["job_0"] == 2  # job_1 is now the one that has been idle for longest
    found = predict(1000)
    assert (len(found), found["job_1000"], "job_1" in found) == (MAX_MODELS + 1, 1, False)


def test_the_checks_of_readiness_are_metrics(api: TestClient) -> None:
    found = counted(text_of(api), "mlp_check_passed", "check")
    assert found.pop("artifacts", 1) == 1, "which only several machines share"
    assert found == {"database": 1, "data_dir": 1, "dispatcher": 1}
    app: Any = api.app
    app.state.components.dispatcher.stop()
    app.state.components.dispatcher.join()
    assert counted(text_of(api), "mlp_check_passed", "check")["dispatcher"] == 0
