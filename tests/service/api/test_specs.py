"""Refused specs: each answer has a pointer and most have a hint; nothing is stored."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlp_client.job_spec import Spec
from service.app import create_app
from tests.service.api.test_hostile_bodies import check_cheap
from tests.service.conftest import URL
from tests.support.engines import local_files
from tests.support.live_service import settings


@pytest.fixture(scope="module")
def empty(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, datasets_dir: Path
) -> Iterator[TestClient]:
    """A service without jobs, shared by tests whose every request is refused."""
    data_dir = tmp_path_factory.mktemp("empty")
    shutil.copy(empty_database, data_dir)
    with TestClient(create_app(settings(data_dir, datasets_dir)), base_url=URL) as client:
        yield client


def refused(api: TestClient, spec: dict[str, Any], status: int = 422) -> Any:
    answer = api.post("/v1/jobs", json=spec)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert api.get("/v1/jobs", params={"limit": 1}).json()["data"][:1] == []
    return answer.json()


def flaws(api: TestClient, spec: dict[str, Any]) -> Any:
    return {item["pointer"]: item for item in refused(api, spec)["errors"]}


@pytest.mark.parametrize(
    ("spec", "pointer", "hint"),
    [
        ({"learing_rate": 0.1}, "#/learing_rate", "did you mean 'learning_rate'?"),
        ({"hiden": [3]}, "#/hiden", "did you mean 'hidden'?"),
        ({"optimizer": {"momentun": 0.9}}, "#/optimizer/momentun", "did you mean 'momentum'?"),
        ({"optimizer": "adam"}, "#/optimizer/type", "did you mean 'adamw'?"),
        (
            {"optimizer": {"type": "sgd", "beta1": 0.5}},
            "#/optimizer/beta1",
            "it belongs to an optimizer of type adamw",
        ),
        ({"rotation": 5}, "#/rotation", "it belongs to augmentation"),
        ({"optimizer": {"type": "adamw", "bta1": 1}}, "#/optimizer/bta1", "did you mean 'beta1'?"),
        ({"augmentation": {"rotate": 5}}, "#/augmentation/rotate", "did you mean 'rotation'?"),
        ({"schedule": "cosin"}, "#/schedule", "did you mean 'cosine'?"),
        ({"activation": "rellu"}, "#/activation", "did you mean 'relu'?"),
        ({"preset": "mlp_relu"}, "#/preset", "did you mean 'mlp-relu'?"),
        ({"initialization": "he"}, "#/initialization", None),
        ({"zzz": 1}, "#/zzz", None),
        ({"optimizer": {"name": "adamw"}}, "#/optimizer/name", "did you mean 'type'?"),
        (
            {"optimizer": {"type": "adamw", "lr": 1}},
            "#/optimizer/lr",
            "did you mean 'learning_rate', which belongs to the spec itself?",
        ),
        (
            {"optimizer": 1},
            "#/optimizer",
            'for example "adamw" or {"type": "sgd", "momentum": 0.9}',
        ),
        (
            {"augmentation": True},
            "#/augmentation",
            'for example {} or {"rotation": 5}; null leaves the images as they are',
        ),
    ],
)
def test_the_answer_to_a_misspelt_name_suggests_the_right_one(
    empty: TestClient, spec: dict[str, Any], pointer: str, hint: str | None
) -> None:
    assert flaws(empty, spec)[pointer].get("hint") == hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", "5"),
        ("epochs", 5.5),
        ("epochs", True),
        ("epochs", None),
        ("hidden", 128),
        ("hidden", "128"),
        ("hidden", {}),
        ("learning_rate", "0.1"),
        ("learning_rate", False),
        ("name", 5),
        ("tags", "a"),
        ("metadata", []),
        ("dataset", None),
        ("optimizer", None),
        ("optimizer", 1),
        ("seed", [1]),
        ("l2", {}),
    ],
)
def test_the_answer_to_a_value_of_another_type_points_to_it(
    empty: TestClient, field: str, value: Any
) -> None:
    assert list(flaws(empty, {field: value})) == [f"#/{field}"]


@pytest.mark.parametrize("field", ["epochs", "hidden", "activation", "optimizer", "dataset"])
def test_a_field_that_is_null_may_be_left_out(empty: TestClient, field: str) -> None:
    hint = flaws(empty, {field: None})[f"#/{field}"]["hint"]
    assert hint == "leave the field out to take its default"


@pytest.mark.parametrize(
    ("spec", "detail"),
    [
        ({"optimizer": "adm"}, "must be 'sgd' or 'adamw'"),
        ({"optimizer": {"type": 5}}, "must be 'sgd' or 'adamw'"),
        ({"optimizer": []}, "must be an object"),
        ({"optimizer": {"momentum": 1}}, "must be less than 1"),
        ({"optimizer": {"nesterov": 1}}, "must be true or false"),
        (
            {"optimizer": {"nesterov": True}},
            "nesterov requires a momentum greater than 0, for example 0.9",
        ),
        ({"augmentation": {"rotation": "x"}}, "must be a number"),
        ({"augmentation": {"rotation": 181}}, "must be 180 or less"),
        ({"augmentation": {"smoothness": 0}}, "must be 0.5 or more"),
        ({"augmentation": "on"}, "must be an object"),
        ({"schedule": 3}, "must be 'constant' or 'cosine'"),
        ({"epochs": 5.5}, "must be a whole number"),
        ({"hidden": [2**40]}, "must be 2,147,483,648 or less"),
        ({"hidden": 3}, "must be a list"),
        ({"learning_rate": 0}, "must be greater than 0"),
        ({"name": "a\nb"}, "has characters that are not allowed here, such as a line break"),
        ({"name": 5}, "must be text"),
        ({"name": "x" * 65}, "must have 64 characters or fewer"),
        ({"tags": [""]}, "must not be empty"),
        ({"tags": ["x"] * 17}, "must have 16 items or fewer"),
        ([], "must be an object"),
    ],
    ids=str,
)
def test_errors_are_in_plain_words_instead_of_pydantics(
    empty: TestClient, spec: dict[str, Any], detail: str
) -> None:
    assert [flaw["detail"] for flaw in flaws(empty, spec).values()] == [detail]


@pytest.mark.parametrize(
    ("field", "least", "most", "below", "above"),
    [
        ("epochs", 1, 10_000, 0, 10_001),
        ("batch_size", 1, 8192, 0, 8193),
        ("seed", 0, 2**53 - 1, -1, 2**53),
        ("learning_rate", 5e-324, 1e3, 0, 1000.5),
        ("initial_bias", -1e3, 1e3, -1000.5, 1000.5),
        ("l2", 0, 1e3, -1e-9, 1000.5),
    ],
)
def test_a_number_may_equal_its_bounds_but_not_exceed_them(
    api: TestClient, field: str, least: Any, most: int, below: int, above: int
) -> None:
    assert list(flaws(api, {field: below})) == [f"#/{field}"]
    assert list(flaws(api, {field: above})) == [f"#/{field}"]
    for value in (least, most):
        answer = api.post("/v1/jobs", json={"preset": "linear", field: value})
        assert answer.json().get("spec", answer.text)[field] == value


@pytest.mark.parametrize(
    ("good", "bad", "pointer"),
    [
        ({"hidden": [8] * 16}, {"hidden": [8] * 17}, "#/hidden"),
        ({"hidden": [1, 8192]}, {"hidden": [1, 8193]}, "#/hidden/1"),
        ({"hidden": [1]}, {"hidden": [0]}, "#/hidden/0"),
        ({"name": "x" * 64}, {"name": "x" * 65}, "#/name"),
        ({"name": "é漢 😀"}, {"name": "a\nb"}, "#/name"),
        ({"tags": ["x"] * 16}, {"tags": ["x"] * 17}, "#/tags"),
        ({"tags": ["x"]}, {"tags": ["x", ""]}, "#/tags/1"),
        ({"metadata": {"k": "v" * 512}}, {"metadata": {"k": "v" * 513}}, "#/metadata/k"),
        ({"metadata": {"k": ""}}, {"metadata": {"": "v"}}, "#/metadata/"),
        (
            {"optimizer": {"momentum": 0.99}},
            {"optimizer": {"momentum": 1}},
            "#/optimizer/momentum",
        ),
        (
            {"optimizer": {"momentum": 0.9, "nesterov": True}},
            {"optimizer": {"nesterov": True}},
            "#/optimizer",
        ),
        ({"optimizer": "sgd"}, {"optimizer": "adam"}, "#/optimizer/type"),
        ({"optimizer": "adamw"}, {"optimizer": {"type": 5}}, "#/optimizer/type"),
        ({"optimizer": "adamw"}, {"optimizer": {"type": ["sgd"]}}, "#/optimizer/type"),
        (
            {"optimizer": {"type": "adamw", "beta2": 0.99}},
            {"optimizer": {"type": "adamw", "beta2": 1}},
            "#/optimizer/beta2",
        ),
        ({"optimizer": "adamw"}, {"optimizer": "adamw", "l2": 0.1}, "#/l2"),
        (
            {"augmentation": {"smoothness": 0.5}},
            {"augmentation": {"smoothness": 0}},
            "#/augmentation/smoothness",
        ),
        ({"augmentation": None}, {"augmentation": True}, "#/augmentation"),
        ({"dataset": "mnist"}, {"dataset": "mnst"}, "#/dataset"),
        ({"class_weights": {"7": 1e3}}, {"class_weights": {"7": 1001}}, "#/class_weights/7"),
        ({"class_weights": {"7": 0}}, {"class_weights": {"a/b": 1}}, "#/class_weights/a~1b"),
        (
            {"class_weights": "balanced"},
            {"class_weights": {str(digit): 0 for digit in range(10)}},
            "#/class_weights",
        ),
    ],
)
def test_each_size_is_accepted_up_to_its_limit_and_refused_beyond_it(
    api: TestClient, good: Any, bad: dict[str, Any], pointer: str
) -> None:
    assert list(flaws(api, bad)) == [pointer]
    assert api.post("/v1/jobs", json=good).status_code == 201


def test_a_pointer_escapes_what_json_pointers_escape(empty: TestClient) -> None:
    # RFC 6901, 4: "~" is "~0" and "/" is "~1".
    found = flaws(empty, {"a/b~c": 1, "metadata": {"x~1/": 5}})
    assert set(found) == {"#/a~1b~0c", "#/metadata/x~01~1"}


def test_all_flaws_are_named_together(empty: TestClient) -> None:
    spec = {"epochs": 0, "hidden": [4, 0, -1], "bogus": 1, "optimizer": {"momentum": 2}}
    body = refused(empty, spec)
    assert {item["pointer"] for item in body["errors"]} == {
        "#/epochs",
        "#/hidden/1",
        "#/hidden/2",
        "#/bogus",
        "#/optimizer/momentum",
    }
    assert body["detail"].startswith("5 values need a change: ")


def test_a_thousand_flaws_give_a_short_answer(empty: TestClient) -> None:
    body = refused(empty, {f"field{n}": n for n in range(100)})
    assert len(body["errors"]) == 20
    assert body["detail"].startswith("100 values need a change")


def test_more_fields_than_any_spec_has_are_one_flaw(empty: TestClient) -> None:
    [flaw] = refused(empty, {f"field{n}": n for n in range(1000)})["errors"]
    assert flaw == {"pointer": "#", "detail": "a spec has 18 fields, not 1,000"}


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        ({"hidden": [9000, 64, 8193], "epochs": 10_001}, {"#/hidden/0", "#/hidden/2", "#/epochs"}),
        ({"hidden": [8000, 8000]}, {"#/hidden"}),
        ({"hidden": [2000] * 4, "epochs": 10_000}, {"#/epochs"}),
        ({"hidden": [4000, 4000], "batch_size": 8192, "epochs": 1}, {"#/batch_size"}),
    ],
)
def test_a_spec_that_would_not_run_here_is_refused_with_what_to_change(
    empty: TestClient, spec: dict[str, Any], pointers: Any
) -> None:
    body = refused(empty, spec)
    assert body["code"] == "spec-refused"
    assert {item["pointer"] for item in body["errors"]} == pointers
    assert all(item["hint"].startswith("use ") for item in body["errors"])


def test_the_limits_come_from_the_settings(data_dir: Path, datasets_dir: Path) -> None:
    made = settings(data_dir, datasets_dir, max_epochs=2, max_layers=1, max_width=8)
    with TestClient(create_app(made), base_url=URL) as api:
        found = flaws(api, {"epochs": 3, "hidden": [9, 1]})
        assert set(found) == {"#/epochs", "#/hidden", "#/hidden/0"}
        assert found["#/epochs"]["hint"] == "use at most 2"


@pytest.mark.parametrize(
    "body",
    [
        b'{"epochs": 1000000000}',
        b'{"hidden": [1000000000]}',
        b'{"batch_size": 1000000000}',
        b'{"hidden": [' + b"8," * 100_000 + b"8]}",
        b'{"hidden": [' + b"2147483648," * 4000 + b"1]}",
    ],
    ids=["epochs", "width", "batch", "layers", "wide-layers"],
)
def test_a_giant_spec_costs_the_service_nothing(empty: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = check_cheap(empty, lambda: empty.post("/v1/jobs", content=body, headers=headers))
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
    assert empty.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "sgd", "momentum": 0.25, "nesterov": True},
        {"type": "adamw", "weight_decay": 0.125, "beta1": 0.5, "beta2": 0.75},
    ],
)
def test_every_field_of_a_spec_survives_storing_and_reading_it(
    empty: TestClient, optimizer: Any
) -> None:
    spec = {
        "name": "é$<b>",
        "tags": ["a", "b"],
        "metadata": {"k": "v"},
        "hidden": [5, 4],
        "activation": "sigmoid",
        "initialization": "glorot_uniform",
        "initial_bias": -0.5,
        "epochs": 7,
        "batch_size": 10,
        "learning_rate": 1e-7,
        "optimizer": optimizer,
        "l2": 1e-9 if optimizer["type"] == "sgd" else 0.0,
        "schedule": "cosine",
        "augmentation": {
            "rotation": 1.5,
            "scale": 0.25,
            "shear": 0.5,
            "translation": 3.5,
            "elastic": 2.5,
            "smoothness": 6.5,
        },
        "class_weights": {"7": 2.5, "1": 0.0},
        "seed": 2**53 - 1,
        "dataset": "mnist",
        "preset": "linear",
    }
    assert set(spec) == set(Spec.model_fields)
    job = empty.post("/v1/jobs", json=spec).json()
    assert empty.get(f"/v1/jobs/{job['id']}").json()["spec"] == spec


@local_files
def test_a_machine_by_itself_refuses_what_it_could_never_run(
    data_dir: Path, datasets_dir: Path
) -> None:
    spec = {"hidden": [2048, 2048]}
    made = settings(data_dir, datasets_dir, job_memory=200 * 1024**2)
    with TestClient(create_app(made), base_url=URL) as client:
        refused = client.post("/v1/jobs", json=spec)
        assert refused.status_code == 422, refused.text
        [flaw] = refused.json()["errors"]
        assert "over the limit of 142,606,336" in flaw["detail"], "64 MiB are for the worker"
        assert client.post("/v1/jobs", json={"hidden": [64]}).status_code == 201
