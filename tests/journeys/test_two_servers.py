"""Two servers and a host on one database: requests, and what follows them at the other server."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.conftest import QUICK
from tests.support import small_uploads
from tests.support.cluster import Cluster, cluster_at
from tests.support.keyed_service import bearer
from tests.support.live_service import Sent, messages
from tests.support.postgresql_server import PostgresServer
from tests.support.s3_server import S3Server
from tests.support.server_process import eventually

KEY_SECONDS = 1.0
"""After which a server knows a new key, as docs/keys.md promises."""
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    datasets_dir: Path,
    postgres: PostgresServer,
    s3: S3Server,
) -> Iterator[Cluster]:
    """Two servers, a and b, and a host."""
    place, url = tmp_path_factory.mktemp("two-servers"), postgres.url(postgres.create())
    environment = s3.environment | {"MLP_ARTIFACTS_URL": f"{s3.url}/{uuid.uuid4().hex}"}
    with cluster_at(place, datasets_dir, url, environment) as cluster:
        cluster.server("a"), cluster.server("b")
        cluster.host("one")
        yield cluster


@pytest.fixture
def a(cluster: Cluster) -> httpx2.Client:
    return cluster.servers["a"].http


@pytest.fixture
def b(cluster: Cluster) -> httpx2.Client:
    return cluster.servers["b"].http


def trained(cluster: Cluster, **spec: Any) -> str:
    job = cluster.submit(**QUICK | spec)
    cluster.wait(job)
    return job


def wait_for_set(client: httpx2.Client, name: str) -> dict[str, Any]:
    def look() -> Any:
        found = client.get(f"/v1/datasets/{name}").json()
        assert found["state"] != "failed", found
        return found if found["state"] == "ready" else None

    return dict(eventually(look, f"{name} to be ready", 60))


def heard(client: httpx2.Client, path: str, most: int = 10_000, last: str = "") -> list[Sent]:
    """Listen to a stream until it ends, or until `most` events that are kept have come."""
    found: list[Sent] = []
    headers = {"Last-Event-ID": last} if last else {}
    with client.stream("GET", path, headers=headers, timeout=60) as stream:
        assert stream.status_code == 200
        for message in messages(stream.iter_lines()):
            found += [message] if message.id else []
            if len(found) == most:
                break
    return found


def test_a_stream_goes_on_at_the_other_server(
    cluster: Cluster, a: httpx2.Client, b: httpx2.Client
) -> None:
    job = cluster.submit(**QUICK | {"epochs": 20})
    begun = heard(a, f"/v1/jobs/{job}/events", most=6)
    continued = heard(b, f"/v1/jobs/{job}/events", last=begun[-1].id or "")
    everything = heard(b, f"/v1/jobs/{job}/events")
    assert [each.id for each in begun + continued] == [each.id for each in everything]
    assert sum(each.event == "epoch" for each in everything) == 20
    listening = heard(a, "/v1/events", most=1)[0]
    cluster.submit(**QUICK)
    assert heard(b, "/v1/events", most=1, last=listening.id or "")


def test_what_one_server_has_received_the_other_one_has(
    a: httpx2.Client, b: httpx2.Client, cluster: Cluster
) -> None:
    content = small_uploads.npz(seed=7)
    assert a.put("/v1/datasets/shapes", content=content).status_code == 201
    assert b.put("/v1/datasets/shapes", content=content).status_code == 200, "the same again"
    wait_for_set(b, "shapes")
    for path in ("train.npz", "test.csv", "train/labels.npy", "test/0.png", "samples.png"):
        answers = [client.get(f"/v1/datasets/shapes/{path}") for client in (b, a)]
        assert [answer.status_code for answer in answers] == [200, 200], path
        assert answers[0].content == answers[1].content, path
    job = trained(cluster, dataset="shapes", batch_size=16, hidden=[4])
    picture = b.get("/v1/datasets/shapes/test/0.png").content
    said = [
        client.post(f"/v1/models/{job}/predict", content=picture, headers=PNG).json()
        for client in (a, b)
    ]
    assert said[0] == said[1]
    assert a.delete("/v1/datasets/shapes?force=true").status_code == 204
    assert b.get("/v1/datasets/shapes").status_code == 404
    assert b.get("/v1/datasets/shapes/test/0.png").status_code == 404
    assert b.post("/v1/jobs", json={"dataset": "shapes"}).status_code in (404, 422)


def test_a_dry_run_ends_at_the_server_that_was_asked(a: httpx2.Client, b: httpx2.Client) -> None:
    content = small_uploads.npz(seed=8)
    for client in (a, b):
        asked = client.put("/v1/datasets/tried?dry_run=true", content=content)
        assert asked.status_code == 200, asked.text
        assert asked.json()["dataset"] == "tried"
    assert b.get("/v1/datasets/tried").status_code == 404
    assert [it["name"] for it in b.get("/v1/datasets").json()["data"]] == ["mnist"]


def test_samples_are_collected_at_any_server(a: httpx2.Client, b: httpx2.Client) -> None:
    def add(client: httpx2.Client, index: int) -> Any:
        image = {"dataset": "mnist", "index": index}
        sample = {"label": str(index % 2), "image": image}
        return client.post("/v1/datasets/notes/samples", json=sample).raise_for_status().json()

    counts = [add((a, b)[index % 2], index)["samples"] for index in range(8)]
    assert counts == [*range(1, 9)]
    assert add(a, 7)["samples"] == 8, "the last one again, at the other server"
    assert b.delete("/v1/datasets/notes/samples/8").status_code == 204
    assert add(a, 8)["samples"] == 8
    frozen = b.post("/v1/datasets/notes/freeze")
    assert frozen.is_success, frozen.text
    found = wait_for_set(a, "notes")
    assert found["train_rows"] + found["test_rows"] == 8
    assert a.delete("/v1/datasets/notes").status_code == 204
    assert b.get("/v1/datasets/notes").status_code == 404


def test_an_evaluation_that_one_server_queues_the_other_one_answers(
    cluster: Cluster, a: httpx2.Client, b: httpx2.Client
) -> None:
    job = trained(cluster)
    task = a.post("/v1/evaluations", json={"model": job, "split": "train"}).json()
    done = b.get(f"/v1/evaluations/{task['id']}?wait=60").json()
    assert done["state"] == "succeeded", done
    found = [client.get(done["links"]["evaluation"]) for client in (b, a)]
    assert found[0].status_code == 200, found[0].text
    assert found[0].json() == found[1].json()
    again = b.post("/v1/evaluations", json={"model": job, "split": "train"}).json()
    assert again["id"] == task["id"]
    assert a.delete(f"/v1/evaluations/{task['id']}").status_code == 204
    assert b.get(f"/v1/evaluations/{task['id']}").status_code == 404


def test_a_job_that_one_server_deletes_is_gone_from_the_memory_of_the_other(
    cluster: Cluster, a: httpx2.Client, b: httpx2.Client
) -> None:
    job = trained(cluster, seed=9)
    picture = a.get("/v1/datasets/mnist/test/0.png").content
    ask = f"/v1/models/{job}/predict"
    for client in (a, b):
        for _ in range(3):  # until the quick path knows the network
            assert client.post(ask, content=picture, headers=PNG).status_code == 200
    assert a.delete(f"/v1/jobs/{job}").status_code == 204
    assert b.post(ask, content=picture, headers=PNG).status_code == 404
    for path in (f"jobs/{job}", f"jobs/{job}/curves.svg", f"models/{job}/weights.npz"):
        assert b.get(f"/v1/{path}").status_code == 404, path
    acted = b.post("/v1/jobs/actions", json={"action": "delete", "jobs": [job]})
    assert acted.is_success, "it is gone already"


def test_a_job_is_paused_and_resumed_at_different_servers(
    cluster: Cluster, a: httpx2.Client, b: httpx2.Client
) -> None:
    job = cluster.submit(preset="mlp-relu", epochs=300)
    cluster.wait_for_epochs(job, 1)
    assert b.post(f"/v1/jobs/{job}/pause").is_success
    cluster.wait(job, "paused")
    assert b.patch(f"/v1/jobs/{job}", json={"name": "renamed"}).is_success
    assert a.get("/v1/jobs?q=renamed").json()["data"][0]["id"] == job
    assert a.post(f"/v1/jobs/{job}/resume").is_success
    assert b.post(f"/v1/jobs/{job}/cancel").is_success
    cluster.wait(job, "cancelled")


def test_a_key_is_valid_at_all_servers_in_time(
    cluster: Cluster, a: httpx2.Client, b: httpx2.Client
) -> None:
    """From then on the servers demand a key, so this is the last test."""
    with closing(Database(cluster.database_url)) as database:
        key = ApiKeyStore(database).create("ada", ["read"])
    made = time.monotonic()
    for client in (a, b):
        path = "/v1/jobs"
        eventually(lambda: client.get(path, headers=bearer(key)).status_code == 200, "the key", 5)  # noqa: B023
        eventually(lambda: client.get(path).status_code == 401, "keys to be needed", 5)  # noqa: B023
    assert time.monotonic() - made <= KEY_SECONDS + 1
