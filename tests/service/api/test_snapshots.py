"""References with `@`: the networks that a job keeps, asked in every way a network can be asked."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from service.work.numeric_environment import numeric_environment
from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.engines import local_files
from tests.support.job_records import HANDLE, claim, query
from tests.support.keyed_service import SharedService, bearer
from tests.support.live_service import Live
from tests.support.oracles import row_probabilities

SAMPLE = {"inputs": [{"dataset": "mnist", "index": 7}]}


def tensors(reader: TestClient, ref: str) -> dict[str, NDArray[np.float32]]:
    return load(reader.get(f"/v1/models/{ref}/weights.safetensors").content)


@local_files
def test_the_list_has_the_start_and_the_kept_epochs(reader: TestClient, world: World) -> None:
    found = reader.get(f"/v1/models/{world.linear}/snapshots").json()
    epochs = reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]
    assert (found["object"], found["model"]) == ("list", world.linear)
    assert [it["epoch"] for it in found["data"]] == [0, 1, 2]
    accuracies = [it["test_accuracy"] for it in found["data"]]
    assert accuracies == [None, *(it["test_accuracy"] for it in epochs)]
    best = max(epochs, key=lambda it: it["test_accuracy"])["epoch"]
    assert [it["epoch"] for it in found["data"] if it["best"]] == [best]
    for it in found["data"][1:]:
        [path] = world.data_dir.glob(f"jobs/{world.linear}/*/after-{it['epoch']}.safetensors")
        data = path.read_bytes()
        assert (it["bytes"], it["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert reader.get("/v1/models/latest@best/snapshots").json() == found


@pytest.mark.parametrize("suffix", ["@0", "@1", "@2", "@best", "@last", ""])
@pytest.mark.parametrize("job", ["linear", "latest"])
def test_predictions_are_those_of_the_weights_of_the_same_reference(
    reader: TestClient, world: World, images: NDArray[np.uint8], suffix: str, job: str
) -> None:
    """The endpoint answers, and the quick path while the network is loaded and from memory."""
    ref = f"{getattr(world, job, job)}{suffix}"
    found = tensors(reader, ref)
    parameters = [(found["layers.1.weight"].astype(float), found["layers.1.bias"])]
    expected = row_probabilities(parameters, "relu", images[7].ravel() / 255)
    for query_ in ("?top_k=10", "", ""):
        answer = reader.post(f"/v1/models/{ref}/predict{query_}", json={**SAMPLE, "top_k": 10})
        for candidate in answer.json()["predictions"][0]["top_k"]:
            assert candidate["probability"] == pytest.approx(expected[candidate["label"]], abs=1e-5)
        assert answer.json()["model"] == world.linear
        epochs = {"@0": 0, "@1": 1}.get(suffix, 2)
        assert answer.json()["epochs_done"] == int(answer.headers["Epochs-Done"]) == epochs


def test_epoch_0_is_what_the_seed_makes(reader: TestClient, world: World) -> None:
    found = tensors(reader, f"{world.linear}@0")
    spec = reader.get(f"/v1/jobs/{world.linear}").json()["spec"]
    rng = np.random.default_rng(np.random.SeedSequence([spec["seed"], 0, 0]))
    assert spec["initialization"] == "he_normal"
    drawn = rng.standard_normal((784, 10), dtype=np.float32) * np.sqrt(2 / 784)
    np.testing.assert_allclose(found["layers.1.weight"], drawn, rtol=1e-6)
    assert (found["layers.1.bias"] == np.float32(spec["initial_bias"])).all()


def test_the_last_snapshot_holds_the_weights_of_the_job(reader: TestClient, world: World) -> None:
    last, newest = tensors(reader, f"{world.linear}@2"), tensors(reader, world.linear)
    for name, array in newest.items():
        assert np.array_equal(array, last[name])


def test_each_reference_has_an_etag_of_its_own(reader: TestClient, world: World) -> None:
    for path in ("weights.npz", "layers/1/weights.png"):
        tags = []
        for suffix in ("@0", "@1", ""):
            address = f"/v1/models/{world.linear}{suffix}/{path}"
            tag = reader.get(address).headers["ETag"]
            assert reader.get(address, headers={"If-None-Match": tag}).status_code == 304
            tags.append(tag)
        assert len(set(tags)) == 3


@pytest.mark.parametrize("path", ["weights.npz", "layers/1/weights.png", "predict"])
def test_an_epoch_that_is_not_kept_is_refused_with_those_that_are(
    reader: TestClient, world: World, path: str
) -> None:
    method = "POST" if path == "predict" else "GET"
    body = SAMPLE if path == "predict" else None
    answer = reader.request(method, f"/v1/models/{world.linear}@7/{path}", json=body)
    check_problem(answer, 404)
    assert answer.json()["code"] == "epoch-not-kept"
    assert "after epoch 7 so far; it keeps those of the epochs: 0, 1, 2." in answer.json()["detail"]


@pytest.mark.parametrize("suffix", ["@", "@first", "@1@2", "@-1"])
def test_what_names_no_epoch_is_refused(reader: TestClient, world: World, suffix: str) -> None:
    for path in ("weights.npz", "snapshots"):
        answer = reader.get(f"/v1/models/{world.linear}{suffix}/{path}")
        check_problem(answer, 404)
        assert answer.json()["code"] == "epoch-not-kept"
        assert "`best` or `last`" in answer.json()["detail"]


def test_a_job_that_has_not_begun_has_its_start_and_nothing_else(live: Live) -> None:
    """Over a connection."""
    job = submit(live.jobs, preset="mlp-relu")
    [start] = live.http.get(f"/v1/models/{job}/snapshots").json()["data"]
    assert (start["epoch"], start["sha256"], start["bytes"]) == (0, None, 0)
    for _ in range(2):
        predicted = live.http.post(f"/v1/models/{job}@0/predict", json=SAMPLE).json()
        assert (predicted["model"], predicted["epochs_done"]) == (job, 0)
    answer = live.http.get(f"/v1/models/{job}@best/weights.npz").json()
    assert answer["code"] == "no-checkpoint-yet"


@pytest.mark.parametrize("change", ["numpy", "arithmetic", "bit_exact"])
def test_the_start_of_another_environment_is_refused(live: Live, change: str) -> None:
    job = submit(live.jobs, preset="linear")
    claim(live.database, job).begin(HANDLE, numeric_environment() | {change: "1.2"})
    query(live.database, "UPDATE jobs SET bit_exact = :exact", exact=change != "bit_exact")
    assert live.http.get(f"/v1/models/{job}/snapshots").json()["data"] == []
    answer = live.http.get(f"/v1/models/{job}@0/weights.npz")
    assert (answer.status_code, answer.json()["code"]) == (409, "start-unknown")
    assert "Ask for an epoch from 1 on" in answer.json()["detail"]


def test_owners_do_not_see_each_others_snapshots(shared: SharedService) -> None:
    for owner, stranger in (("ada", "bob"), ("bob", "ada")):
        for tail in ("weights.npz", "predict", "predict?top_k=2", "snapshots"):
            for at in ("@0", "@1", "@best"):
                path = f"/v1/models/{shared.trained[owner]}{at}/{tail}"
                scope = "predict" if "predict" in tail else "read"
                method, body = ("POST", SAMPLE) if scope == "predict" else ("GET", None)
                for who, status in ((owner, 200), (stranger, 404), (owner, 200)):
                    headers = bearer(shared.key[who, scope])
                    answer = shared.client.request(method, path, json=body, headers=headers)
                    assert answer.status_code == status, (path, who)
