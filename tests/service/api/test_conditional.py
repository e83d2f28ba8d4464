"""A request for an answer that the client already has is answered with 304."""

import json
import re

import pytest
from starlette.testclient import TestClient

from tests.service.api.test_jobs import submit
from tests.service.conftest import World

CONDITIONAL = [
    "/v1/jobs/{linear}",
    "/v1/jobs/{linear}/epochs.csv",
    "/v1/jobs/{linear}/curves.png",
    "/v1/jobs/{linear}/curves.svg",
    "/v1/curves.png?jobs={linear},{deep}",
    "/v1/models/{linear}/weights.safetensors",
    "/v1/models/latest/weights.json",
    "/v1/models/{deep}/layers/2/weights.png",
    "/v1/datasets/mnist/train.npy?label=3",
    "/v1/datasets/mnist/train/labels.npy",
    "/v1/models/{deep}/layers/2/weights.npy?dtype=int8",
    "/v1/datasets/mnist/samples.png",
    "/v1/datasets/mnist/test/3.png",
    "/v1/datasets/mnist/test/3.json",
]


@pytest.mark.parametrize("path", CONDITIONAL)
def test_an_answer_that_the_client_has_is_not_sent_again(
    reader: TestClient, world: World, path: str
) -> None:
    path = path.format(linear=world.linear, deep=world.deep)
    tag = reader.get(path).headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for held in (tag, f"W/{tag}", f'"other", {tag}', f'W/"x",W/{tag} , "y"', "*"):
        answer = reader.get(path, headers={"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert answer.headers["Cache-Control"] == "no-cache"
    for held in ('"other"', "", tag[:-2] + '"', "junk,,"):
        answer = reader.get(path, headers={"If-None-Match": held})
        assert (answer.status_code, answer.headers["ETag"]) == (200, tag)


def test_every_conditional_picture_has_a_tag_of_its_own(reader: TestClient, world: World) -> None:
    paths = [path.format(linear=world.linear, deep=world.deep) for path in CONDITIONAL]
    weights = f"/v1/models/{world.linear}/layers/1/weights"
    looks = ("units=3", "offset=1", "tile=9", "columns=2", "scale=each", "theme=dark")
    paths += [f"{weights}.png", f"{weights}.svg", *(f"{weights}.svg?{look}" for look in looks)]
    tags = [reader.get(path).headers["ETag"] for path in paths]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/v1/datasets/mnist/test/3.png", "image/png"),
        ("/v1/jobs/{linear}/curves.svg", "image/svg+xml"),
        ("/v1/models/{linear}/weights.npz", "application/zip"),
        ("/v1/jobs/{linear}/epochs.csv", "text/csv; charset=utf-8; header=present"),
    ],
)
def test_a_file_has_the_general_type_for_a_client_that_accepts_no_other(
    reader: TestClient, world: World, path: str, own: str
) -> None:
    general, path = "application/octet-stream", path.format(linear=world.linear)
    usual = reader.get(path)
    assert (usual.headers["Content-Type"], usual.headers["Vary"]) == (own, "Accept")
    for accept in (general, f"text/html, {general.upper()};q=0.9, */*;q=0.1"):
        answer = reader.get(path, headers={"Accept": accept})
        assert answer.headers["Content-Type"] == general
        assert answer.content == usual.content
        assert answer.headers["ETag"] != usual.headers["ETag"]
        held = {"Accept": accept, "If-None-Match": answer.headers["ETag"]}
        assert reader.get(path, headers=held).status_code == 304
    for accept in ("", "*/*", f"{general}, {own.split(';')[0]}", f"{general}-not"):
        assert reader.get(path, headers={"Accept": accept}).headers["Content-Type"] == own


def test_a_job_is_json_whatever_the_client_accepts(reader: TestClient, world: World) -> None:
    headers = {"Accept": "application/octet-stream"}
    answer = reader.get(f"/v1/jobs/{world.linear}", headers=headers)
    assert answer.headers["Content-Type"] == "application/json"


def test_a_job_that_changes_changes_its_tag(api: TestClient) -> None:
    job = submit(api)
    held = {"If-None-Match": api.get(f"/v1/jobs/{job}").headers["ETag"]}
    assert api.get(f"/v1/jobs/{job}", headers=held).status_code == 304
    api.post(f"/v1/jobs/{job}/pause")
    answer = api.get(f"/v1/jobs/{job}", headers=held)
    assert json.loads(answer.content)["state"] == "paused"
