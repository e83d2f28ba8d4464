"""The epochs of many jobs in one answer."""

import random
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import World
from tests.support.keyed_service import SharedService
from tests.support.live_service import Live, claimed, epoch, record


def columns(http: Any, *jobs: str, **query: int) -> Any:
    answer = http.get("/v1/epochs", params={"jobs": ",".join(jobs), **query})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["object"] == "epoch_columns"
    return answer.json()["data"]


def test_columns_hold_the_epochs_of_each_job(reader: TestClient, world: World) -> None:
    found = columns(reader, world.linear, world.deep)
    assert list(found) == [world.linear, world.deep]
    for job, epochs in ((world.linear, 2), (world.deep, 1)):
        listed = reader.get(f"/v1/jobs/{job}/epochs").json()["data"]
        for name in listed[0]:
            assert found[job][name] == [float(f"{each[name]:.6g}") for each in listed]
        assert found[job]["of"] == epochs


def test_unknown_jobs_are_left_out_and_jobs_without_epochs_are_empty(api: TestClient) -> None:
    waiting = submit(api)
    empty: dict[str, Any] = {name: [] for name in ("epoch", "train_loss", "train_accuracy")}
    empty |= {name: [] for name in ("test_loss", "test_accuracy", "seconds")}
    assert columns(api, waiting, "job_nope") == {waiting: {**empty, "of": 0}}
    assert columns(api, "job_nope") == {}


def test_after_returns_only_what_is_new(live: Live) -> None:
    job, other = submit(live.http), submit(live.http)
    record(claimed(live.database), 1, 2, 3)
    record(claimed(live.database), 1)
    found = columns(live.http, job, other, after=1)
    assert found[job]["epoch"] == [2, 3]
    assert found[job]["train_loss"] == [0.5, 0.333333]
    assert (found[job]["of"], found[other]["epoch"], found[other]["of"]) == (2, [], 0)


def test_of_many_epochs_the_lowest_and_the_highest_values_stay(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api, epochs=3000)
    noise = random.Random(7)
    losses = {number: noise.random() for number in range(1, 3001)} | {777: 9.0, 2345: -9.0}
    finished = [epoch(number, test_loss=loss) for number, loss in losses.items()]
    claimed(api_database).heartbeat((3000, 0), finished)
    found = columns(api, job, points=100)[job]
    assert found["of"] == 3000
    assert 50 <= len(found["epoch"]) <= 100
    assert {1, 777, 2345, 3000} <= set(found["epoch"])
    shown = dict(zip(found["epoch"], found["test_loss"], strict=True))
    assert shown == {number: float(f"{losses[number]:.6g}") for number in shown}
    assert columns(api, job, points=10_000)[job]["epoch"] == list(range(1, 3001))


def test_the_tag_changes_with_each_new_epoch_and_with_what_was_asked(
    api: TestClient, api_database: Database
) -> None:
    job, other = submit(api), submit(api)
    attempt = claimed(api_database)

    def tag(query: str) -> str:
        return api.get(f"/v1/epochs?jobs={query}").headers["ETag"]

    first = tag(job)
    assert tag(job) == first
    same = api.get(f"/v1/epochs?jobs={job}", headers={"If-None-Match": first})
    assert (same.status_code, same.content) == (304, b"")
    record(attempt, 1)
    asked = (job, f"{job},{other}", f"{job}&after=1", f"{job}&points=20")
    assert len({first, *map(tag, asked)}) == 5


@pytest.mark.parametrize(
    "query",
    [
        "",
        "jobs=",
        "jobs=,%20,",
        "jobs=" + ",".join(f"job_{n}" for n in range(65)),
        "jobs=x&points=15",
        "jobs=x&points=10001",
        "jobs=x&after=-1",
        "jobs=x&limit=3",
    ],
)
def test_no_jobs_too_many_jobs_and_other_parameters_are_refused(
    reader: TestClient, query: str
) -> None:
    check_problem(reader.get(f"/v1/epochs?{query}"), 422)


def test_sixty_four_ids_fit_into_a_request(reader: TestClient, world: World) -> None:
    ids = [*(f"job_019ac6a5-73f4-7b21-9c3e-5d0f3a1b2c{n:02}" for n in range(63)), world.deep]
    assert list(columns(reader, *ids)) == [world.deep]


def test_the_jobs_of_another_owner_are_left_out(shared: SharedService) -> None:
    headers = {"Authorization": f"Bearer {shared.key['ada', 'read']}"}
    ids = f"{shared.trained['bob']},{shared.trained['ada']}"
    answer = shared.client.get("/v1/epochs", params={"jobs": ids}, headers=headers)
    assert list(answer.json()["data"]) == [shared.trained["ada"]]
