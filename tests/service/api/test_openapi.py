"""The OpenAPI document: complete, and true to what the service does."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic.fields import FieldInfo
from starlette.testclient import TestClient

from mlp_client.dataset_records import DatasetList, DatasetRecord
from service.api.datasets import Sample
from service.api.docs import ProblemType
from service.api.event_schemas import (
    EpochEvent,
    ProgressEvent,
    StateEvent,
    StateEventData,
    WarningEvent,
    WarningEventData,
)
from service.api.health import Alive, Ready
from service.api.job_lists import JobList, JobSummaryList
from service.api.jobs import EpochList, Preset, PresetList
from service.api.predict_schema import ImageInput, PredictRequest
from service.api.stream_schemas import (
    AllProgressEvent,
    CheckpointEvent,
    DeletedJob,
    EpochOfJobEvent,
    HelloData,
    HelloEvent,
    JobChangedEvent,
    PingEvent,
    SystemEvent,
    WarningOfJob,
    WarningOfJobEvent,
)
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import URL, World
from tests.support import live_service
from tests.support.engines import local_files

METHODS = ("get", "post", "put", "patch", "delete")
SAMPLE = {"inputs": [{"dataset": "mnist", "index": 7}]}
# An example of each operation, in an order that works: (body, path with its names filled in).
USES = {
    ("post", "/v1/jobs"): ({"preset": "linear"}, "/v1/jobs"),
    ("post", "/v1/jobs/preview"): ({"preset": "linear"}, "/v1/jobs/preview"),
    ("get", "/v1/jobs"): (None, "/v1/jobs?limit=5&state=queued&fields=all&sort=-best"),
    ("get", "/v1/jobs/{job}"): (None, "/v1/jobs/{job}"),
    ("patch", "/v1/jobs/{job}"): ({"name": "new", "metadata": {"a": None}}, "/v1/jobs/{job}"),
    ("post", "/v1/jobs/actions"): ({"action": "pause", "jobs": ["job_1"]}, "/v1/jobs/actions"),
    ("post", "/v1/jobs/{job}/{action}"): (None, "/v1/jobs/{job}/cancel"),
    ("get", "/v1/jobs/{job}/epochs"): (None, "/v1/jobs/{job}/epochs?after=1"),
    ("get", "/v1/epochs"): (None, "/v1/epochs?jobs={job},unknown"),
    ("get", "/v1/jobs/{job}/epochs.csv"): (None, "/v1/jobs/{job}/epochs.csv"),
    ("get", "/v1/jobs/{job}/events"): (None, "/v1/jobs/{job}/events"),
    ("get", "/v1/events"): (None, "/v1/events?after=0"),
    ("get", "/v1/jobs/{job}/curves.{format}"): (None, "/v1/jobs/{job}/curves.svg"),
    ("get", "/v1/curves.{format}"): (None, "/v1/curves.png?jobs={job}"),
    ("delete", "/v1/jobs/{job}"): (None, "/v1/jobs/{job}"),
    ("get", "/v1/presets"): (None, "/v1/presets"),
    ("get", "/v1/models/{ref}/evaluation"): (None, "/v1/models/latest/evaluation"),
    ("post", "/v1/evaluations"): ({"model": "latest"}, "/v1/evaluations"),
    ("get", "/v1/evaluations"): (None, "/v1/evaluations"),
    ("get", "/v1/evaluations/{evaluation}"): (None, "/v1/evaluations/{evaluation}?wait=1"),
    ("delete", "/v1/evaluations/{evaluation}"): (None, "/v1/evaluations/{evaluation}"),
    ("get", "/v1/models/{ref}/evaluation/classes.{format}"): (
        None,
        "/v1/models/latest/evaluation/classes.svg",
    ),
    ("get", "/v1/models/{ref}/evaluation/comparison"): (
        None,
        "/v1/models/latest/evaluation/comparison?unlike=latest@1",
    ),
    ("get", "/v1/models/{ref}/evaluation/confusion.{format}"): (
        None,
        "/v1/models/latest/evaluation/confusion.svg",
    ),
    ("get", "/v1/models/{ref}/evaluation/reliability.{format}"): (
        None,
        "/v1/models/latest/evaluation/reliability.png",
    ),
    ("get", "/v1/models/{ref}/evaluation/predictions.{format}"): (
        None,
        "/v1/models/latest/evaluation/predictions.npy",
    ),
    ("get", "/v1/models/{ref}/evaluation/misread.json"): (
        None,
        "/v1/models/latest/evaluation/misread.json?limit=3",
    ),
    ("get", "/v1/models/{ref}/evaluation/misread.png"): (
        None,
        "/v1/models/latest/evaluation/misread.png?limit=3",
    ),
    ("get", "/v1/models/{ref}/evaluation/confusions.png"): (
        None,
        "/v1/models/latest/evaluation/confusions.png",
    ),
    ("get", "/v1/models/{ref}/film.webp"): (None, "/v1/models/latest/film.webp"),
    ("get", "/v1/models/{ref}/snapshots"): (None, "/v1/models/latest/snapshots"),
    ("get", "/v1/models/{ref}/weights.{format}"): (None, "/v1/models/latest/weights.npz"),
    ("get", "/v1/models/{ref}/layers/{layer}/{part}.npy"): (
        None,
        "/v1/models/latest/layers/1/weights.npy?units=2&dtype=int8",
    ),
    ("get", "/v1/models/{ref}/layers/{layer}/weights.{format}"): (
        None,
        "/v1/models/latest/layers/1/weights.png",
    ),
    ("post", "/v1/models/{ref}/predict"): (SAMPLE, "/v1/models/latest/predict"),
    ("post", "/v1/models/{ref}/predict.npy"): (SAMPLE, "/v1/models/latest/predict.npy"),
    ("get", "/v1/datasets"): (None, "/v1/datasets"),
    ("get", "/v1/datasets/{name}"): (None, "/v1/datasets/mnist"),
    ("get", "/v1/datasets/{name}/events"): (None, "/v1/datasets/mnist/events"),
    ("get", "/v1/datasets/{name}/report"): (None, "/v1/datasets/mnist/report"),
    ("get", "/v1/datasets/{name}/{split}.npz"): (None, "/v1/datasets/mnist/test.npz"),
    ("get", "/v1/datasets/{name}/{split}.csv"): (None, "/v1/datasets/mnist/test.csv"),
    ("get", "/v1/datasets/{name}/{split}.npy"): (
        None,
        "/v1/datasets/mnist/train.npy?indices=59999,0",
    ),
    ("get", "/v1/datasets/{name}/{split}/labels.npy"): (None, "/v1/datasets/mnist/test/labels.npy"),
    ("get", "/v1/datasets/{name}/samples.png"): (None, "/v1/datasets/mnist/samples.png"),
    ("get", "/v1/datasets/{name}/{split}/{index}.png"): (None, "/v1/datasets/mnist/test/1.png"),
    ("get", "/v1/datasets/{name}/{split}/{index}.json"): (None, "/v1/datasets/mnist/train/1.json"),
    ("get", "/v1/system"): (None, "/v1/system"),
    ("get", "/livez"): (None, "/livez"),
    ("get", "/readyz"): (None, "/readyz"),
    ("get", "/metrics"): (None, "/metrics"),
    ("get", "/problems/{code}"): (None, "/problems/invalid"),
}
ENDLESS = ("/v1/events",)
"""Its events are compared with the document in test_stream_schemas.py."""


OF_UPLOADS = {
    ("put", "/v1/datasets/{name}"),
    ("post", "/v1/datasets"),
    ("delete", "/v1/datasets/{name}"),
    ("post", "/v1/datasets/{name}/samples"),
    ("delete", "/v1/datasets/{name}/samples/{number}"),
    ("post", "/v1/datasets/{name}/freeze"),
}
"""They are used by test_dataset_uploads.py and test_dataset_samples.py, most with no JSON."""
OF_SESSIONS = {("post", "/v1/session"), ("delete", "/v1/session")}
"""These need a key, and the others are used without any; test_session.py uses them."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


@pytest.fixture
def writer(world: World, tmp_path: Path, datasets_dir: Path) -> Iterator[TestClient]:
    """A copy of `world` that tests may change."""
    shutil.copytree(world.data_dir, tmp_path / "data")
    app = create_app(live_service.settings(tmp_path / "data", datasets_dir))
    with TestClient(app, base_url=URL) as client:
        yield client


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the document that a reference names."""
    while "$ref" in schema:
        found = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


@local_files
def test_every_route_works_and_answers_what_the_document_says(
    writer: TestClient, document: dict[str, Any]
) -> None:
    assert {*USES, *OF_SESSIONS, *OF_UPLOADS} == set(operations(document))
    made = {"job": "", "evaluation": ""}
    for (method, template), (body, path) in USES.items():
        method_sent = "head" if template in ENDLESS else method
        answer = writer.request(method_sent, path.format(**made), json=body)
        assert answer.is_success, (path, answer.text)
        responses = operations(document)[method, template]["responses"]
        content = responses[str(answer.status_code)].get("content", {})
        media_type = answer.headers.get("Content-Type", "").split(";")[0]
        assert media_type in content or not (content or media_type), (path, media_type)
        if media_type == "application/json" and "schema" in content[media_type]:
            validator(document, content[media_type]["schema"]).validate(answer.json())
        if method == "post" and template in ("/v1/jobs", "/v1/evaluations"):
            made[template.removeprefix("/v1/").removesuffix("s")] = answer.json()["id"]


def test_operations_have_short_unique_names_and_summaries(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z_]{4,20}", id_) for id_ in ids)
    assert all(operation.get("tags") for operation in operations(document).values())


def test_every_operation_has_a_summary_and_a_description_of_its_own(
    document: dict[str, Any],
) -> None:
    for operation in operations(document).values():
        generated = operation["operationId"].replace("_", " ").title()
        assert operation["summary"] != generated
        assert re.fullmatch(r"[A-Z][^.]{5,60}", operation["summary"])
        assert re.match(r"[A-Z]", operation["description"])
        assert operation["description"].rstrip().endswith(".")


def test_every_parameter_and_every_body_is_described(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])


def own_fields() -> list[tuple[str, str, FieldInfo]]:
    """The fields of the records and requests that this package defines, not the client's."""
    models = (
        *(JobList, JobSummaryList, EpochList, Preset, PresetList),
        *(DatasetRecord, DatasetList, Sample, Alive, Ready, ProblemType),
        *(PredictRequest, ImageInput),
        *(HelloEvent, JobChangedEvent, EpochOfJobEvent, WarningOfJobEvent, CheckpointEvent),
        *(AllProgressEvent, SystemEvent, PingEvent, HelloData, DeletedJob, WarningOfJob),
        *(StateEvent, EpochEvent, WarningEvent, ProgressEvent, StateEventData, WarningEventData),
    )
    return [(model.__name__, *each) for model in models for each in model.model_fields.items()]


@pytest.mark.parametrize(("model", "name", "field"), own_fields())
def test_every_field_is_described(model: str, name: str, field: FieldInfo) -> None:
    assert field.description, (model, name)
    assert re.fullmatch(r"[A-Z`].*\.", field.description, re.DOTALL), (model, name)


def test_every_answer_is_described_with_an_example_where_it_is_json(
    document: dict[str, Any],
) -> None:
    for key, operation in operations(document).items():
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[A-Z].*\.", response["description"]), (key, status)
            assert "Successful Response" not in response["description"], (key, status)
            content = response.get("content", {}).get("application/json")
            if status[0] == "2" and content:
                validator(document, content["schema"]).validate(content["example"])


@local_files
def test_the_headers_that_are_documented_are_sent(
    writer: TestClient, document: dict[str, Any]
) -> None:
    documented = operations(document)
    created = writer.post("/v1/jobs", json={"preset": "linear"}, headers={"Idempotency-Key": "k"})
    again = writer.post("/v1/jobs", json={"preset": "linear"}, headers={"Idempotency-Key": "k"})
    assert "Location" in created.headers
    assert set(documented["post", "/v1/jobs"]["responses"]["201"]["headers"]) <= {
        name.title() for name in again.headers
    }
    for suffix in ("", ".npy"):
        writer.get("/v1/models/latest/evaluation?calibrate=temperature")
        answer = writer.post(f"/v1/models/latest/predict{suffix}?calibrated=true", json=SAMPLE)
        names = documented["post", f"/v1/models/{{ref}}/predict{suffix}"]["responses"]["200"]
        further = {"Temperature", "Classes"} if suffix else {"Temperature"}
        assert {"Model", "Epochs-Done", "Checkpoint-Sha256"} | further == set(names["headers"])
        assert all(name in answer.headers for name in names["headers"])
    for (method, template), operation in documented.items():
        if "304" in operation["responses"]:
            job = created.json()["id"]
            answer = writer.request(method, USES[method, template][1].format(job=job))
            assert all(name in answer.headers for name in operation["responses"]["200"]["headers"])


def test_every_route_refuses_query_parameters_that_it_does_not_know(
    writer: TestClient, document: dict[str, Any]
) -> None:
    job = writer.post("/v1/jobs", json={}).json()["id"]
    health = {"/livez", "/readyz", "/metrics", "/problems/{code}"}  # for probes and browsers
    for (method, template), (body, path) in USES.items():
        sign = "&" if "?" in path else "?"
        address = path.format(job=job, evaluation="ev_1") + f"{sign}bogus=1"
        answer = writer.request(method, address, json=body)
        if template in health:
            assert answer.is_success, path
        else:
            assert answer.status_code == 422, path
            assert {"pointer": "?bogus", "detail": "unknown parameter"} in answer.json()["errors"]


def test_every_reference_can_be_resolved(document: dict[str, Any]) -> None:
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert len(references) > 10
    for reference in references:
        assert reference.startswith("#/components/schemas/")
        assert resolved(document, {"$ref": reference})


def test_every_schema_is_valid(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for operation in operations(document).values():
        for parameter in operation.get("parameters", []):
            Draft202012Validator.check_schema(parameter["schema"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            Draft202012Validator.check_schema(content["schema"])


def test_every_operation_says_how_it_fails(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        content = operation["responses"]["default"]["content"]
        assert list(content) == ["application/problem+json"]
        schema = resolved(document, content["application/problem+json"]["schema"])
        assert {"type", "title", "status", "detail", "code"} == set(schema["required"])
        assert "422" not in operation["responses"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_problems_are_what_the_document_says(reader: TestClient, document: dict[str, Any]) -> None:
    problem = validator(document, {"$ref": "#/components/schemas/Problem"})
    for answer in (
        reader.get("/nothing"),
        reader.put("/v1/jobs"),
        reader.get("/metrics", headers={"Host": "x"}),
        reader.post("/v1/jobs", json={"epochs": 0, "x": 1}),
        reader.post("/v1/jobs", json={"epochs": 20_000}),
    ):
        problem.validate(answer.json())


def test_the_examples_of_a_spec_are_valid_and_work(
    writer: TestClient, document: dict[str, Any]
) -> None:
    [content] = operations(document)["post", "/v1/jobs"]["requestBody"]["content"].values()
    assert len(content["examples"]) >= 3
    for example in content["examples"].values():
        validator(document, content["schema"]).validate(example["value"])
        assert writer.post("/v1/jobs", json=example["value"]).status_code == 201


@local_files
def test_the_examples_of_a_prediction_request_are_valid_and_work(
    writer: TestClient, document: dict[str, Any]
) -> None:
    body = operations(document)["post", "/v1/models/{ref}/predict"]["requestBody"]
    content = body["content"]["application/json"]
    for example in content["examples"].values():
        validator(document, content["schema"]).validate(example["value"])
        answer = writer.post("/v1/models/latest/predict", json=example["value"])
        assert answer.status_code == 200, answer.text


def test_the_document_refuses_what_the_service_refuses(document: dict[str, Any]) -> None:
    spec = validator(document, {"$ref": "#/components/schemas/Spec"})
    wrong: Any
    for wrong in ({"epochs": 0}, {"bogus": 1}, {"hidden": 5}, {"optimizer": "adam"}, []):
        assert not spec.is_valid(wrong)
    assert spec.is_valid({"optimizer": "sgd"})
