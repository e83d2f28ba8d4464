"""The document is one that generators of clients understand, and their clients mean what they say.

tests/journeys/test_generated_clients.py runs two generators; here is why they succeed.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mlp_client.job_spec import PRESETS, AdamW, Augmentation, Sgd, Spec, StoredSpec
from service.app import create_app
from service.settings import Settings

KNOWN_TO_GENERATORS = {
    "application/json",
    "application/problem+json",
    "application/octet-stream",
    "multipart/form-data",
    "text/csv",
    "text/event-stream",
    "text/plain",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def parts(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in the document with its name, except examples."""
    if isinstance(value, list):
        for each in value:
            yield from parts(each, name)
    if isinstance(value, dict):
        yield name, value
        for key, each in value.items():
            if key not in ("example", "examples"):
                yield from parts(each, key)


def properties(document: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(document["components"]["schemas"][name]["properties"])


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_no_schema_has_a_default_that_a_client_could_send(document: dict[str, Any]) -> None:
    """Not even one: a generated client would send it, and override what a preset says."""
    holders = [name for name, part in parts(document) if "default" in part]
    assert set(holders) == {"responses"}  # where it is the answer for all other statuses


@pytest.mark.parametrize("model", [Spec, Sgd, AdamW, Augmentation])
def test_a_description_says_the_default_of_its_field(
    document: dict[str, Any], model: type[Spec | Sgd | AdamW | Augmentation]
) -> None:
    given = {"type": "adamw"} if model is AdamW else {}
    for name, default in model.model_validate(given).model_dump(mode="json").items():
        description = properties(document, model.__name__)[name]["description"]
        written = re.search(r" Default: `(.*?)`", description)
        if default is None or (model, name) == (AdamW, "type"):
            assert not written
        else:
            assert written, name
            assert json.loads(written[1]) == default


def test_a_description_says_which_defaults_depend_on_the_preset(document: dict[str, Any]) -> None:
    with_preset = {
        name
        for name, field in properties(document, "Spec").items()
        if field["description"].endswith("unless the preset sets it.")
    }
    filled = {name for fields in PRESETS.values() for name in fields} - {"augmentation"}
    assert with_preset == filled


def test_only_a_few_fields_of_requests_are_required(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    required = {
        name: schemas[name].get("required", [])
        for name in ("Spec", "Sgd", "AdamW", "Augmentation", "PredictRequest", "ImageInput")
    }
    assert {name: fields for name, fields in required.items() if fields} == {
        "AdamW": ["type"],
        "PredictRequest": ["inputs"],
    }


def test_answers_have_every_field_of_a_spec(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas["StoredSpec"]["required"]) == set(StoredSpec.model_fields)
    records = ("Job", "Metrics", "Preset", "Checkpoint", "JobPreview", "Snapshot")
    for name in ("StoredSgd", "StoredAdamW", "StoredAugmentation", *records):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name


def test_fields_that_may_be_absent_are_optional_and_never_null(document: dict[str, Any]) -> None:
    """Problems and predictions leave out what has no value; other answers say null."""
    schemas = document["components"]["schemas"]
    for name, absent in {
        "Prediction": {"label", "probability", "input", "problem"},
        "Problem": {"errors"},
        "ProblemItem": {"hint"},
    }.items():
        optional = set(schemas[name]["properties"]) - set(schemas[name]["required"])
        assert optional >= absent
        described = [schemas[name]["properties"][each] for each in optional]
        assert '"null"' not in json.dumps(described)


def test_every_body_and_every_answer_has_a_type_that_generators_know(
    document: dict[str, Any],
) -> None:
    for operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        assert set(content) <= KNOWN_TO_GENERATORS
        for response in operation["responses"].values():
            content = response.get("content", {})
            assert not content or set(content) & KNOWN_TO_GENERATORS, operation["operationId"]
            assert all("schema" in each for each in content.values()), operation["operationId"]


def test_predictions_have_one_type_of_answer(document: dict[str, Any]) -> None:
    paths = document["paths"]
    answers = paths["/v1/models/{ref}/predict"]["post"]["responses"]["200"]["content"]
    assert list(answers) == ["application/json"]
    answers = paths["/v1/models/{ref}/predict.npy"]["post"]["responses"]["200"]["content"]
    assert list(answers) == ["application/x-npy", "application/octet-stream"]


def test_nothing_in_the_document_is_newer_than_its_version(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert not [name for name, part in parts(document) if "itemSchema" in part]


def test_a_key_is_optional_except_where_none_is_read(document: dict[str, Any]) -> None:
    assert document["security"] == [{"bearer": []}, {}]
    public = {each["operationId"] for each in operations(document) if each.get("security") == []}
    assert public == {"livez", "readyz", "get_problem", "begin_session", "end_session"}
    assert not [each for each in operations(document) if each.get("security")]
