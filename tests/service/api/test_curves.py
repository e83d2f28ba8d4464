"""Learning curves over HTTP, of one job and of several."""

import re
import threading
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.pictures import curves
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import World
from tests.support.live_service import Live, claimed, epoch, fail, record
from tests.support.pictures import picture, texts


def test_a_jobs_curves_are_captioned_with_its_recipe(reader: TestClient, world: World) -> None:
    words = texts(reader.get(f"/v1/jobs/{world.linear}/curves.svg"))
    epochs = reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]
    seconds = sum(found["seconds"] for found in epochs)
    assert f"2 epochs in {seconds:.1f} s · sgd · learning rate 0.1 · batch size 256" in words


@pytest.mark.parametrize(
    ("spec", "caption"),
    [
        ({"optimizer": {"momentum": 0.9}}, "sgd, momentum 0.9 · learning rate 0.1 · batch size 64"),
        (
            {"preset": "mlp-augmented"},
            "adamw · augmented · learning rate 0.001, cosine · batch size 256",
        ),
    ],
)
def test_a_caption_names_optimizer_and_augmentation(
    api: TestClient, api_database: Database, spec: dict[str, Any], caption: str
) -> None:
    job = submit(api, **spec, epochs=1)
    record(claimed(api_database), 1)
    written = texts(api.get(f"/v1/jobs/{job}/curves.svg"))
    [shown] = [words for words in written if "epoch in" in words]
    assert re.fullmatch(rf"1 epoch in \d\.\d s · {re.escape(caption)}", shown)


def test_curves_can_be_drawn_while_the_job_trains(api: TestClient, api_database: Database) -> None:
    job = submit(api, epochs=9, name="half <done> & $x$")
    path = f"/v1/jobs/{job}/curves.svg"
    attempt = claimed(api_database)
    assert any("0 of 9 epochs" in words for words in texts(api.get(path)))
    record(attempt, 1, 2)
    caption = "2 of 9 epochs in 0.5 s · sgd · learning rate 0.1 · batch size 64"
    assert caption in texts(api.get(path))
    assert picture(api.get(f"/v1/jobs/{job}/curves.png")).size == (2000, 840)


@pytest.mark.parametrize(
    ("query", "size", "corner"),
    [
        ("", (2000, 840), (255, 255, 255)),
        ("?width=200&height=150", (400, 300), (255, 255, 255)),
        ("?width=600&height=1000&theme=dark", (1200, 2000), (22, 27, 34)),
    ],
)
def test_curves_have_the_requested_size_and_background(
    reader: TestClient,
    world: World,
    query: str,
    size: tuple[int, int],
    corner: tuple[int, int, int],
) -> None:
    drawn = picture(reader.get(f"/v1/jobs/{world.linear}/curves.png{query}"))
    assert drawn.size == size
    assert drawn.convert("RGB").getpixel((1, 1)) == corner


@pytest.mark.parametrize(
    "query",
    ["width=199", "width=4001", "height=149", "height=3001", "theme=blue", "width=x"],
)
def test_a_size_out_of_range_is_refused_by_name(
    reader: TestClient, world: World, query: str
) -> None:
    answer = reader.get(f"/v1/jobs/{world.linear}/curves.png?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_several_jobs_share_a_picture_in_the_order_given(reader: TestClient, world: World) -> None:
    def order(*jobs: str) -> list[str]:
        words = texts(reader.get("/v1/curves.svg", params={"jobs": ",".join(jobs)}))
        return [word for word in words if word in ("linear", "deep one")]

    assert order(world.linear, world.deep) == ["linear", "deep one"]
    assert order(world.deep, world.linear) == ["deep one", "linear"]


def test_a_job_named_twice_is_drawn_once(reader: TestClient, world: World) -> None:
    twice = reader.get("/v1/curves.png", params={"jobs": f" {world.deep} ,,{world.deep},"})
    once = reader.get(f"/v1/jobs/{world.deep}/curves.png")
    assert twice.content == once.content


def test_a_job_without_a_name_is_labelled_with_its_id(api: TestClient) -> None:
    job, other = submit(api), submit(api, preset="linear")
    words = texts(api.get("/v1/curves.svg", params={"jobs": f"{job},{other}"}))
    assert {"linear", job[:27] + "…"} <= {word.strip() for word in words}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid"),
        ("?jobs=", 422, "invalid"),
        ("?jobs=,%20,", 422, "invalid"),
        ("?jobs=" + ",".join(f"j{n}" for n in range(17)), 422, "invalid"),
        ("?jobs=" + "x" * 1025, 422, "invalid"),
        ("?jobs=nope", 404, "job-not-found"),
        ("?jobs=%00", 404, "job-not-found"),
    ],
)
def test_no_jobs_too_many_jobs_and_unknown_jobs_are_refused(
    reader: TestClient, query: str, status: int, code: str
) -> None:
    answer = reader.get(f"/v1/curves.png{query}")
    check_problem(answer, status)
    assert answer.json()["code"] == code


def test_sixteen_jobs_fit_into_the_smallest_picture(
    api: TestClient, api_database: Database
) -> None:
    jobs = [submit(api, name=f"number {n} of sixteen") for n in range(16)]
    for _ in jobs:
        record(claimed(api_database), 1, 2)
    query: dict[str, Any] = {"jobs": ",".join(jobs), "width": 200, "height": 150}
    assert picture(api.get("/v1/curves.png", params=query)).size == (400, 300)


def test_the_tag_of_curves_depends_on_the_epochs_and_the_options(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api)
    attempt = claimed(api_database)
    path = f"/v1/jobs/{job}/curves.svg"

    def tag(query: str = "") -> str:
        return api.get(path + query).headers["ETag"]

    first = tag()
    assert tag() == first
    attempt.heartbeat((1, 0), [epoch(1)])
    tags = [first, tag(), tag("?width=300"), tag("?theme=dark"), tag("?height=300")]
    assert len(set(tags)) == 5


def test_curves_are_never_drawn_concurrently(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    job, now, most = submit(live.http), [], []

    def draw(*_: object, **__: object) -> Any:
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        now.pop()
        return b""

    monkeypatch.setattr(curves, "draw", draw)
    paths = [f"/v1/jobs/{job}/curves.png", f"/v1/curves.svg?jobs={job}"] * 6
    threads = [threading.Thread(target=live.http.get, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12


def test_a_picture_says_what_the_network_is_and_how_good(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api, hidden=[64], activation="tanh")
    attempt = claimed(api_database)
    path = f"/v1/jobs/{job}/curves.svg"
    assert "784-64-10 tanh" in texts(api.get(path))
    attempt.heartbeat((1, 0), [epoch(1, test_accuracy=0.9794)])
    only = "784-64-10 tanh · test accuracy 97.94%, loss 1.5"
    assert only in texts(api.get(path))
    attempt.heartbeat((2, 0), [epoch(2, test_accuracy=0.95)])
    both = "784-64-10 tanh · test accuracy 95.00%, loss 0.75 · best 97.94% in epoch 1"
    assert both in texts(api.get(path))


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_picture_of_a_failed_job_says_when_and_why(
    api: TestClient, api_database: Database, epochs: int
) -> None:
    job = submit(api, name="wide")
    attempt = claimed(api_database)
    if epochs:
        record(attempt, 1, 2)
    path = f"/v1/jobs/{job}/curves.svg"
    tag = api.get(path).headers["ETag"]
    fail(attempt)
    answer = api.get(path, headers={"If-None-Match": tag})
    when = "after epoch 2" if epochs else "before its first epoch was done"
    assert f"Failed {when}: the loss is not finite" in texts(answer)
    assert picture(api.get(f"/v1/jobs/{job}/curves.png")).size == (2000, 840)


def test_scale_quantity_and_smoothing_have_pictures_of_their_own(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/jobs/{world.linear}/curves.svg"
    asked = ["", "?scale=log", "?quantity=error", "?smooth=0.5", "?scale=log&quantity=error"]
    answers = [reader.get(path + query) for query in asked]
    assert len({answer.headers["ETag"] for answer in answers}) == 5
    assert len({answer.content for answer in answers}) == 5
    for query in ("scale=ln", "quantity=loss", "smooth=1", "smooth=-0.1"):
        answer = reader.get(f"{path}?{query}")
        check_problem(answer, 422)
        assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]
