"""Data sets whose files are damaged: told, refused, and made whole by the same file."""

import io

import numpy as np
import pytest

from service.work import verification
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final, put
from tests.support.engines import local_files
from tests.support.live_service import Live


@local_files
@pytest.mark.parametrize("file", ["test.images.npy", "manifest.json"])
@pytest.mark.parametrize("is_read", [False, True], ids=["at once", "after a read"])
def test_damage_that_nobody_has_noticed_is_repaired_by_the_same_file(
    service: Live, file: str, is_read: bool
) -> None:
    name, sent = f"fragile-{file[:4]}-{is_read}".lower(), small_uploads.npz(seed=len(file))
    put(service, name, sent)
    found = final(service, name)
    folder = service.app.state.components.services.datasets.files.folder(found["sha256"])
    (folder / file).unlink()
    if file == "manifest.json":
        (folder / file).touch()
    if is_read:
        refused = service.http.get(f"{SETS}/{name}/test/0.png")
        check_problem(refused, 409)
        assert refused.json()["code"] == "dataset-damaged"
        assert service.http.get(f"{SETS}/{name}").json()["reason"]["code"] == "files_damaged"
    again = put(service, name, sent)
    assert (again.status_code, again.json()["state"]) == (201, "queued")
    repaired = final(service, name)
    assert (repaired["state"], repaired["sha256"]) == ("ready", found["sha256"])
    assert service.http.get(f"{SETS}/{name}/test/0.png").status_code == 200
    assert put(service, name, sent).status_code == 200


@local_files
def test_a_damaged_set_is_told_and_refused_and_repaired_by_the_same_file(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = small_uploads.npz(seed=41)
    put(service, "fragile", sent)
    found = final(service, "fragile")
    parts = service.app.state.components
    folder = parts.services.datasets.files.folder(found["sha256"])
    array = np.load(folder / "train.images.npy")
    array[0, 0] ^= 1
    (folder / "train.images.npy").unlink()
    np.save(folder / "train.images.npy", array)
    monkeypatch.setattr(verification, "SHIPPED", {})
    parts.verification.step()
    damaged = service.http.get(f"{SETS}/fragile").json()
    assert (damaged["state"], damaged["reason"]["code"]) == ("failed", "files_damaged")
    assert "\nmlp_datasets_damaged 1.0\n" in service.http.get("/metrics").text
    answer = service.http.post("/v1/jobs", json={"dataset": "fragile"})
    check_problem(answer, 422)
    assert "Its files have changed on the disk" in answer.json()["errors"][0]["detail"]
    assert "Send the same files again" in answer.json()["errors"][0]["detail"]
    assert put(service, "fragile", sent).status_code == 201
    repaired = final(service, "fragile")
    assert (repaired["state"], repaired["sha256"]) == ("ready", found["sha256"])
    back = np.load(io.BytesIO(service.http.get(f"{SETS}/fragile/train.npz").content))
    np.testing.assert_array_equal(back["x_train"], np.load(io.BytesIO(sent))["x_train"])
    assert "\nmlp_datasets_damaged 0.0\n" in service.http.get("/metrics").text
