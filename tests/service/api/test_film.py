"""The film of a layer's weights shows each kept network, in its order."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load
from starlette.testclient import TestClient

from service.api import film as module
from service.work.numeric_environment import numeric_environment
from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.job_records import HANDLE, claim, epoch, query, saved
from tests.support.keyed_service import SharedService, bearer
from tests.support.live_service import Live

Pixels = NDArray[np.uint8]


def film(reader: TestClient, path: str) -> tuple[list[Pixels], list[int]]:
    """Return the frames of a film, and how long each is shown in milliseconds."""
    answer = reader.get(f"/v1/models/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
    picture = Image.open(io.BytesIO(answer.content))
    frames, durations = [], []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        frames.append(np.array(picture.convert("RGB")))
        durations.append(picture.info["duration"])
    assert picture.info["loop"] == 0
    return frames, durations


def learned(reader: TestClient, ref: str, digit: int) -> NDArray[np.float64]:
    now, start = (
        load(reader.get(f"/v1/models/{each}/weights.safetensors").content)["layers.1.weight"]
        for each in (ref, f"{ref.partition('@')[0]}@0")
    )
    difference: NDArray[np.float64] = (now.astype(float) - start)[:, digit].reshape(28, 28)
    return difference


def test_there_is_a_frame_for_each_kept_network(reader: TestClient, world: World) -> None:
    frames, durations = film(reader, f"{world.linear}/film.webp?seconds=5")
    assert len(frames) == 3
    assert durations == [1000, 1000, 3000]
    assert len({frame.tobytes() for frame in frames}) == 3
    other, durations = film(reader, f"{world.linear}/film.webp?seconds=2.5&theme=dark")
    assert durations == [500, 500, 1500]
    assert other[0][0, 0].sum() < 100 < 700 < frames[0][0, 0].sum()


def test_minus_start_begins_white_and_shows_what_was_learned(
    reader: TestClient, world: World
) -> None:
    path = f"{world.linear}/film.webp?minus=start&units=1&offset=3&tile=28"
    frames, _ = film(reader, path)
    tiles = [frame[-31:-3, 3:31].astype(int) for frame in frames]  # the gap is 28 // 9 = 3
    assert len(np.unique(tiles[0].reshape(-1, 3), axis=0)) == 1, "one colour: white"
    for number in (1, 2):
        template = learned(reader, f"{world.linear}@{number}", 3)
        redness = tiles[number][..., 0] - tiles[number][..., 2]
        assert np.corrcoef(redness.ravel(), template.ravel())[0, 1] < -0.9
        strongest = np.unravel_index(np.abs(template).argmax(), template.shape)
        assert abs(redness[strongest]) > 60, "the scale is not that of the frame before training"


def test_the_epoch_is_written_above_the_weights(reader: TestClient, world: World) -> None:
    frames, _ = film(reader, f"{world.linear}/film.webp?minus=start")
    lines = [frame[:20, :80].tobytes() for frame in frames]
    assert len(set(lines)) == 3


def test_a_deeper_layer_is_a_matrix(reader: TestClient, world: World) -> None:
    frames, _ = film(reader, f"{world.deep}/film.webp?layer=2")
    height, width, _ = frames[0].shape
    assert len(frames) == 2
    assert 0.9 < width / height < 1.2, "12 inputs and 11 units"


def test_a_film_has_an_etag_until_another_network_is_kept(reader: TestClient, world: World) -> None:
    address = f"/v1/models/{world.linear}/film.webp"
    tag = {"If-None-Match": reader.get(address).headers["ETag"]}
    assert reader.get(address, headers=tag).status_code == 304
    assert reader.get(f"{address}?seconds=3", headers=tag).status_code == 200


@pytest.mark.parametrize(
    ("query_", "status"),
    [
        ("layer=2", 404),
        ("offset=10", 404),
        ("seconds=0.5", 422),
        ("units=257", 422),
        ("tile=225", 422),
        ("minus=mean", 422),
        ("columns=3", 422),
    ],
)
def test_what_does_not_exist_is_refused(
    reader: TestClient, world: World, query_: str, status: int
) -> None:
    check_problem(reader.get(f"/v1/models/{world.linear}/film.webp?{query_}"), status)


def test_a_film_of_too_many_weights_or_pixels_is_refused(
    reader: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/v1/models/{world.linear}/film.webp?seconds=9"
    monkeypatch.setattr(module, "MAX_WEIGHTS", 3 * 7840 - 1)
    answer = reader.get(address)
    check_problem(answer, 422)
    assert "23,520 weights" in answer.json()["detail"]
    assert reader.get(f"{address}&units=9").status_code == 200


def test_without_a_network_or_a_start_there_is_no_film(live: Live) -> None:
    """Over a connection."""
    job = submit(live.jobs, preset="linear")
    answer = live.http.get(f"/v1/models/{job}/film.webp")
    assert (answer.status_code, answer.json()["code"]) == (409, "no-checkpoint-yet")
    attempt = claim(live.database, job)
    attempt.begin(HANDLE, numeric_environment() | {"numpy": "1.2"})
    attempt.commit(saved(attempt, 1), [epoch(1)])
    query(live.database, "UPDATE jobs SET bit_exact = :yes", yes=True)
    answer = live.http.get(f"/v1/models/{job}/film.webp?minus=start")
    assert (answer.status_code, answer.json()["code"]) == (409, "start-unknown")


def test_owners_are_apart(shared: SharedService) -> None:
    path = f"/v1/models/{shared.trained['ada']}/film.webp"
    for owner, status in (("ada", 200), ("bob", 404)):
        headers = bearer(shared.key[owner, "read"])
        assert shared.client.get(path, headers=headers).status_code == status
