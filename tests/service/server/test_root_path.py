"""The service behind a path prefix, which the proxy removes or not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.service.conftest import URL, World
from tests.support.engines import database_url_of
from tests.support.live_service import settings

PREFIX = "/lab/mlp"


def published(data_dir: Path, datasets_dir: Path, prefix: str = PREFIX) -> TestClient:
    app = create_app(settings(data_dir, datasets_dir, root_path=prefix))
    return TestClient(app, base_url=URL, raise_server_exceptions=False)


@pytest.fixture
def behind(data_dir: Path, datasets_dir: Path) -> Iterator[TestClient]:
    """A service without jobs behind the prefix."""
    with published(data_dir, datasets_dir) as client:
        yield client


@pytest.fixture(scope="module")
def trained(world: World, datasets_dir: Path) -> Iterator[TestClient]:
    with published(world.data_dir, datasets_dir) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/v1/jobs", "/docs", "/problems/invalid", "/"])
def test_a_path_is_found_with_and_without_the_prefix(behind: TestClient, path: str) -> None:
    assert behind.get(path).status_code == 200
    assert behind.get(PREFIX + path).status_code == 200


def test_the_prefix_alone_is_the_root(behind: TestClient) -> None:
    assert behind.get(PREFIX).json() == behind.get("/").json()


@pytest.mark.parametrize("path", ["/lab/v1/jobs", "/lab/mlpx/v1/jobs", "/mlp/v1/jobs", "/lab"])
def test_what_only_resembles_the_prefix_is_not_found(behind: TestClient, path: str) -> None:
    assert behind.get(path).status_code == 404


@pytest.mark.parametrize("sent", ["", PREFIX])
def test_every_path_in_an_answer_can_be_followed_through_the_proxy(
    behind: TestClient, sent: str
) -> None:
    made = behind.post(f"{sent}/v1/jobs", json={"preset": "linear"})
    job = made.json()
    assert made.headers["Location"] == f"{PREFIX}/v1/jobs/{job['id']}" == job["links"]["self"]
    assert all(link.startswith(f"{PREFIX}/v1/") for link in job["links"].values())
    assert behind.get(job["links"]["self"]).json()["links"] == job["links"]
    assert behind.get(f"{sent}/v1/jobs").json()["data"][0]["links"] == job["links"]
    assert behind.post(f"{sent}/v1/jobs/{job['id']}/cancel").json()["links"] == job["links"]
    index = behind.get(f"{sent}/").json()
    assert index["docs"] == f"{PREFIX}/docs"
    assert behind.get(index["openapi"]).json()["servers"] == [{"url": PREFIX}]


@pytest.mark.parametrize("sent", ["", PREFIX])
def test_the_type_of_a_problem_can_be_followed_through_the_proxy(
    behind: TestClient, sent: str
) -> None:
    for answer in (
        behind.get(f"{sent}/nowhere"),
        behind.get(f"{sent}/v1/jobs/x"),
        behind.put(f"{sent}/v1/jobs"),
        behind.post(f"{sent}/v1/jobs", json={"epochs": 0}),
        behind.post(f"{sent}/v1/jobs", content=bytes(300_000)),
        behind.get(f"{sent}/v1/jobs", headers={"Host": "evil.example"}),
        behind.post(f"{sent}/v1/jobs", headers={"Origin": "https://evil.example"}),
    ):
        problem = answer.json()
        assert problem["type"] == f"{PREFIX}/problems/{problem['code']}"
        assert behind.get(problem["type"]).json()["type"] == problem["type"]


def test_the_page_of_the_documentation_loads_its_files_through_the_proxy(
    behind: TestClient,
) -> None:
    page = behind.get(f"{PREFIX}/docs").text
    assert f"'{PREFIX}/openapi.json'" in page
    assert page.count(f'"{PREFIX}/vendor/') == 3
    script = page.split(f'src="{PREFIX}/vendor/')[1].split('"')[0]
    assert behind.get(f"{PREFIX}/vendor/{script}").status_code == 200


@pytest.mark.parametrize("sent", ["", PREFIX])
def test_a_prediction_and_its_nested_problems_work_behind_the_prefix(
    trained: TestClient, sent: str
) -> None:
    seven = trained.get("/v1/datasets/mnist/test/0.png").content
    predict = f"{sent}/v1/models/latest/predict"
    answer = trained.post(predict, content=seven, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200
    files = [("image", ("a.png", seven)), ("image", ("b.png", b"no picture"))]
    good, bad = trained.post(predict, files=files).json()["predictions"]
    assert good["label"] == 7
    assert bad["problem"]["type"] == f"{PREFIX}/problems/bad-image"


def test_a_repeated_submission_gets_links_with_todays_prefix(
    data_dir: Path, datasets_dir: Path
) -> None:
    spec = {"preset": "linear", "name": "Grüße 😀", "metadata": {"a": "1"}}
    answers = []
    for prefix in (PREFIX, "", "/other", PREFIX):
        with published(data_dir, datasets_dir, prefix) as client:
            answer = client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
            assert answer.status_code == 201
            assert answer.json()["links"]["self"] == answer.headers["Location"]
            assert answer.headers["Location"].startswith(f"{prefix}/v1/jobs/job_")
            answers.append(answer.text)
    assert answers[3] == answers[0]
    assert answers[1] == answers[0].replace(PREFIX, "")
    assert "Grüße 😀" in answers[0]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/jobs", "read"),
        ("POST", "/v1/jobs", "train"),
        ("POST", "/v1/models/latest/predict", "predict"),
        ("POST", "/v1/models/latest/predict.npy", "predict"),
        ("GET", "/livez", None),
        ("GET", "/", None),
        ("GET", "", None),
        ("GET", f"{PREFIX}/v1/jobs", "read"),
    ],
)
def test_the_prefix_changes_nothing_about_who_may_do_what(
    data_dir: Path, datasets_dir: Path, method: str, path: str, scope: str | None
) -> None:
    database = Database(database_url_of(data_dir))
    keys = {it: ApiKeyStore(database).create("ada", [it]) for it in ("read", "predict", "train")}
    database.close()

    def status(client: TestClient, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.request(method, PREFIX + path, headers=headers, json={}).status_code

    with published(data_dir, datasets_dir) as client:
        passed = {it for it, key in keys.items() if status(client, key) not in (401, 403)}
        assert passed == ({scope} if scope else set(keys))
        assert (status(client, "") == 401) == (scope is not None)


def test_metrics_count_a_route_and_not_the_prefix(behind: TestClient) -> None:
    behind.get(f"{PREFIX}/v1/jobs/x")
    assert 'http_route="/v1/jobs/{job}"' in behind.get("/metrics").text


def test_links_are_the_same_bytes_without_a_prefix(api: TestClient) -> None:
    answer: Any = api.post("/v1/jobs", json={"preset": "linear"})
    assert answer.content == json.dumps(answer.json(), separators=(",", ":")).encode()
    assert answer.json()["links"]["self"] == f"/v1/jobs/{answer.json()['id']}"
