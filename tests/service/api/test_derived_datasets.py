"""Data sets that are made of others over HTTP: asked for, repeated, refused, and told apart."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from service.preparation import prepare
from service.store.api_keys import ApiKeyStore
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final
from tests.support.engines import local_files
from tests.support.live_service import Live, settings


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sets_dir: Path) -> Iterator[Live]:
    """A service that trains nothing, with the data set `shapes`."""
    prepare(made := settings(tmp_path_factory.mktemp("data"), sets_dir))
    with Live(made) as live:
        live.http.put(
            f"{SETS}/shapes",
            content=small_uploads.npz(),
            params={"description": "Three shapes", "options": '{"license": "CC0"}'},
        )
        assert final(live, "shapes")["state"] == "ready"
        yield live


def derive(live: Live, name: str, from_: Any, **fields: Any) -> httpx2.Response:
    return live.http.post(SETS, json={"name": name, "from": from_, **fields})


def problem_of(answer: httpx2.Response, status: int) -> dict[str, Any]:
    check_problem(answer, status)
    return dict(answer.json())


def test_a_few_rows_of_mnist_are_a_data_set_of_digits(service: Live) -> None:
    answer = derive(service, "mnist-small", {"dataset": "mnist", "rows": 10})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{SETS}/mnist-small"
    assert answer.json()["state"] == "queued"
    found = final(service, "mnist-small")
    mnist = service.http.get(f"{SETS}/mnist").json()
    assert (found["state"], found["input"], found["train_rows"]) == ("ready", "digit", 100)
    assert found["class_counts"]["test"] == mnist["class_counts"]["test"]
    assert found["license"] == mnist["license"]
    assert found["options"]["from"] == {
        "dataset": "mnist",
        "split": None,
        "classes": None,
        "rows": 10,
        "seed": 1,
        "sha256": mnist["sha256"],
    }
    report = service.http.get(f"{SETS}/mnist-small/report").json()
    assert report["found"]["ignored"] == {"training rows beyond `rows`": 59_900}
    labels = np.load(io.BytesIO(service.http.get(f"{SETS}/mnist-small/train/labels.npy").content))
    assert np.bincount(labels).tolist() == [10] * 10


def test_a_whole_copy_is_the_same_content_and_takes_what_the_source_says(service: Live) -> None:
    assert derive(service, "copy", {"dataset": "shapes"}).status_code == 201
    found, source = final(service, "copy"), final(service, "shapes")
    assert found["sha256"] == source["sha256"]
    assert (found["description"], found["license"]) == ("Three shapes", "CC0")
    assert source["options"]["from"] is None
    derive(service, "named", {"dataset": "shapes"}, description="Mine")
    assert final(service, "named")["description"] == "Mine"


def test_a_source_whose_digest_is_left_out_after_the_sign_is_refused(service: Live) -> None:
    found = problem_of(derive(service, "unclear", {"dataset": "shapes@"}), 422)
    [error] = found["errors"]
    assert (error["pointer"], "ends with @" in error["detail"]) == ("#/from/dataset", True)
    check_problem(service.http.get(f"{SETS}/shapes@"), 404)


@local_files
def test_the_same_request_again_makes_it_anew_if_its_files_are_gone(service: Live) -> None:
    asked = {"dataset": "shapes", "rows": 5}
    derive(service, "brittle", asked)
    found = final(service, "brittle")
    folder = service.app.state.components.services.datasets.files.folder(found["sha256"])
    (folder / "train.images.npy").unlink()
    assert derive(service, "brittle", asked).status_code == 201
    assert final(service, "brittle")["state"] == "ready"
    assert service.http.get(f"{SETS}/brittle/train/0.png").status_code == 200


def test_the_same_request_again_changes_nothing_and_another_one_is_refused(service: Live) -> None:
    asked = {"dataset": "shapes", "classes": ["dot", "bar"], "split": {"test": 0.25}}
    first = derive(service, "two", asked)
    again = derive(service, "two", asked)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert final(service, "two")["classes"] == ["dot", "bar"]
    pinned = {**asked, "dataset": f"shapes@sha256:{final(service, 'shapes')['sha256']}"}
    assert derive(service, "two", pinned).status_code == 200
    refused = derive(service, "two", {**asked, "classes": ["bar", "dot"]})
    assert problem_of(refused, 409)["code"] == "dataset-exists"
    assert problem_of(derive(service, "mnist", asked), 409)["code"] == "dataset-exists"


def test_a_request_is_repeated_after_its_source_was_deleted(service: Live) -> None:
    sent = small_uploads.npz(seed=31)
    service.http.put(f"{SETS}/origin", content=sent, params={"description": "The origin"})
    source = final(service, "origin")
    asked = {"dataset": "origin", "classes": ["dot", "bar"]}
    first = derive(service, "offspring", asked)
    final(service, "offspring")
    assert service.http.delete(f"{SETS}/origin", params={"force": True}).status_code == 204
    again = derive(service, "offspring", asked)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    pinned = {**asked, "dataset": f"origin@sha256:{source['sha256']}"}
    assert derive(service, "offspring", pinned).status_code == 200
    other = {**asked, "dataset": f"origin@sha256:{'0' * 64}"}
    problem_of(derive(service, "offspring", other), 422)
    problem_of(derive(service, "offspring", {**asked, "rows": 3}), 409)
    problem_of(derive(service, "another", asked), 422)
    service.http.put(f"{SETS}/origin", content=small_uploads.npz(seed=32))
    final(service, "origin")
    assert problem_of(derive(service, "offspring", asked), 409)["code"] == "dataset-exists"


def test_a_request_with_the_same_key_gets_the_first_answer(service: Live) -> None:
    body = {"name": "keyed", "from": {"dataset": "mnist", "rows": 2}}
    headers = {"Idempotency-Key": "derived-1"}
    first = service.http.post(SETS, json=body, headers=headers)
    assert first.status_code == 201
    final(service, "keyed")
    assert service.http.delete(f"{SETS}/keyed").status_code == 204
    again = service.http.post(SETS, json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert service.http.get(f"{SETS}/keyed").status_code == 404
    other = service.http.post(SETS, json={**body, "description": "x"}, headers=headers)
    assert problem_of(other, 422)["code"] == "idempotency-key-reused"


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"name": "No Name", "from": {"dataset": "mnist"}}, "#/name", "'no-name' would do"),
        ({"name": "x"}, "#/from", "is missing"),
        ({"name": "x", "from": {"dataset": "nope"}}, "#/from/dataset", "no data set 'nope'"),
        (
            {"name": "x", "from": {"dataset": "shapes", "classes": ["dot", "dog"]}},
            "#/from/classes/1",
            "shapes has no class 'dog'; it has: bar, cross, dot",
        ),
        (
            {"name": "x", "from": {"dataset": "shapes", "classes": ["dot", "dot"]}},
            "#/from/classes",
            "has the name 'dot' twice",
        ),
        ({"name": "x", "from": {"dataset": "shapes", "rows": 0}}, "#/from/rows", "1 or more"),
        (
            {"name": "x", "from": {"dataset": "shapes", "split": {"tests": 0.2}}},
            "#/from/split/tests",
            "unknown field",
        ),
        ({"name": "x", "from": {"dataset": "shapes"}, "row": 3}, "#/row", "unknown field"),
        ([], "#", "must be an object"),
    ],
)
def test_errors_name_the_field(service: Live, body: Any, pointer: str, words: str) -> None:
    problem = problem_of(service.http.post(SETS, json=body), 422)
    [error] = problem["errors"]
    assert error["pointer"] == pointer
    assert words in error["detail"]


def test_a_misspelt_field_is_recognised(service: Live) -> None:
    problem = problem_of(derive(service, "x", {"dataset": "mnist", "clases": ["1"]}), 422)
    assert problem["errors"][0]["hint"] == "did you mean 'classes'?"


def test_a_body_that_is_no_json_or_too_long_is_refused(service: Live) -> None:
    headers = {"Content-Type": "application/json"}
    problem_of(service.http.post(SETS, content=b'{"name"', headers=headers), 400)
    long = json.dumps({"name": "x" * 300_000}).encode()
    problem = problem_of(service.http.post(SETS, content=long, headers=headers), 413)
    assert problem["detail"] == "A body of JSON may have 262,144 bytes here."


def test_a_set_that_is_not_ready_is_no_source(service: Live) -> None:
    service.http.put(f"{SETS}/broken", content=b"no data set")
    assert final(service, "broken")["state"] == "failed"
    problem = problem_of(derive(service, "x", {"dataset": "broken"}), 422)
    assert problem["errors"][0]["pointer"] == "#/from/dataset"
    assert "failed" in problem["errors"][0]["detail"]


def test_a_set_of_another_owner_does_not_exist(tmp_path: Path, sets_dir: Path) -> None:
    prepare(made := settings(tmp_path / "data", sets_dir))
    with Live(made) as live:
        keys = ApiKeyStore(live.database)
        ada, bob = (
            {"Authorization": f"Bearer {keys.create(owner, ['read', 'train'])}"}
            for owner in ("ada", "bob")
        )
        reading = {"Authorization": f"Bearer {keys.create('ada', ['read'])}"}
        live.http.put(f"{SETS}/own", content=small_uploads.npz(seed=9), headers=ada)
        assert final(live, "own", **ada)["state"] == "ready"
        own = {"name": "part", "from": {"dataset": "own", "rows": 4}}
        missing = {"name": "part", "from": {"dataset": "missing", "rows": 4}}
        told = [
            problem_of(live.http.post(SETS, json=body, headers=bob), 422)["errors"]
            for body in (own, missing)
        ]
        assert str(told[0]).replace("own", "missing") == str(told[1])
        assert live.http.post(SETS, json=own, headers=ada).status_code == 201
        assert final(live, "part", **ada)["owner"] == "ada"
        problem_of(live.http.post(SETS, json=own, headers=reading), 403)
        assert live.http.get(f"{SETS}/part", headers=bob).status_code == 404
