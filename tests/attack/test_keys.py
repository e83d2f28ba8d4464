"""Every route of the OpenAPI document, new ones included, with every key that must not open it."""

import hmac
import random
import re
import shutil
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from service.server import key_ring
from service.store.api_keys import ApiKeyStore
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import QUICK, submit
from tests.support.campaign import Campaign
from tests.support.keyed_service import (
    BODY_BYTES,
    KEY_OPTIONAL,
    OPEN,
    SCOPES,
    GuardedServer,
    Operation,
    SharedService,
    bearer,
    id_of,
    operations_of,
    upload,
)
from tests.support.server_process import Server, eventually

KEYS_FOR_ADAS_JOBS = (*(("ada", scope) for scope in SCOPES), ("app", "predict"))
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "-")


@pytest.fixture(scope="module")
def operations(shared: SharedService) -> list[Operation]:
    """All but those of sessions, which take a key in the body."""
    found = operations_of(shared.client.get("/openapi.json").json())
    return [operation for operation in found if operation.template != "/v1/session"]


def snapshot(shared: SharedService) -> list[Any]:
    """Return the state of all jobs; a refused request must not change any."""
    return shared.jobs.page(100).jobs


# --- Without a good key ---


def test_no_route_opens_without_a_valid_key(
    shared: SharedService, operations: list[Operation], campaign: Campaign
) -> None:
    before, asked, wrong = snapshot(shared), 0, []
    for operation in operations:
        for what, key in shared.refused.items():
            answer = operation.send(shared.client, shared.trained["ada"], key)
            asked += 1
            if (answer.status_code == 401) == operation.is_open_to(key):
                wrong.append((operation.method, operation.template, what, answer.status_code))
            if answer.status_code == 401:
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    what = "requests to each route without a key, or with one that is not valid"
    campaign.figure(
        what, target="all 401", measured=f"{len(wrong)} of {asked} got in", met=not wrong
    )
    assert wrong == []
    assert snapshot(shared) == before


def test_no_other_method_opens_a_path(shared: SharedService, operations: list[Operation]) -> None:
    paths = {operation.template for operation in operations} | {"/nothing", "/v1/new"}
    for path in paths - {*OPEN, *KEY_OPTIONAL}:
        filled = re.sub(r"\{.*?\}", "x", path)
        for method in METHODS:
            answer = shared.client.request(method, filled)
            assert answer.status_code == 401, (method, path)
        answer = shared.client.options(filled)  # tells the methods, which are no secret
        if answer.status_code != 404:
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["Allow"].endswith("OPTIONS")
    for path in ("/livez", "/docs", "/", *KEY_OPTIONAL):
        assert shared.client.get(path).status_code == 200
        assert shared.client.post(path).status_code == 401
    assert shared.client.get("/v1/../livez/%2e%2e/v1/jobs").status_code == 401
    assert shared.client.get("/vendor/../v1/jobs").status_code in (401, 404)


def test_only_a_client_with_the_secret_learns_that_a_key_was_valid(shared: SharedService) -> None:
    texts = {
        what: Operation("GET", "/v1/jobs", {}, None).send(shared.client, "", key).json()["detail"]
        for what, key in shared.refused.items()
    }
    assert "has expired" in texts.pop("expired")
    assert "was revoked" in texts.pop("revoked")
    assert texts["unknown id"] == texts["wrong secret"]
    assert len(set(texts.values())) == 3, "nothing, no key, a key that is not known"


def test_headers_that_almost_hold_a_key_open_nothing(
    shared: SharedService, campaign: Campaign
) -> None:
    chance, good = random.Random(campaign.full), shared.key["ada", "read"]
    count = campaign.of(300, 20_000)
    got_in = []
    for _ in range(count):
        header = _mutated(chance, f"Bearer {good}")
        answer = shared.client.get("/v1/presets", headers={"Authorization": header})
        same = header.lower().startswith("bearer ") and header[7:].strip() == good
        if answer.status_code != 401 and not same:
            got_in.append(header.replace(good[-43:], "…"))
    campaign.figure(
        "mutated Authorization headers", target="all 401", measured=count, met=not got_in
    )
    assert got_in == []
    twice = [("Authorization", f"Bearer {good}")] * 2
    assert shared.client.get("/v1/presets", headers=twice).status_code == 401


def _mutated(chance: random.Random, header: str) -> str:
    at, letter = chance.randrange(len(header)), chance.choice(string.printable[:95])
    kind = chance.randrange(4)
    if kind == 0:
        return header[:at] + letter + header[at + 1 :]
    if kind == 1:
        return header[:at] + letter + header[at:]
    if kind == 2:
        return header[:at] + header[at + 1 :]
    return header[:at]


def test_secrets_are_compared_in_constant_time_for_unknown_ids_too(
    shared: SharedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return hmac.compare_digest(a, b)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(key_ring, "hmac", Spy)
    jobs = Operation("GET", "/v1/jobs", {}, None)
    for what, status in (("unknown id", 401), ("wrong secret", 401), ("revoked", 401)):
        assert jobs.send(shared.client, "", shared.refused[what]).status_code == status
    assert jobs.send(shared.client, "", shared.key["ada", "read"]).status_code == 200
    # A key that another request has just shown need not be compared again.
    assert compared[:3] == [(64, 64)] * 3


# --- With a key of too small a scope ---


def test_a_scope_opens_its_routes_and_no_other(
    shared: SharedService, operations: list[Operation], campaign: Campaign
) -> None:
    asked, wrong = 0, []
    for operation in operations:
        for owner, scope in KEYS_FOR_ADAS_JOBS:
            job = shared.target(operation, "ada")
            answer = operation.send(shared.client, job, shared.key[owner, scope])
            asked += 1
            allowed = operation.scope in (None, "any", scope)
            expected = answer.is_success if allowed else answer.status_code == 403
            if not expected:
                wrong.append((operation.method, operation.template, scope, answer.status_code))
            if answer.status_code == 403:
                assert repr(operation.scope) in answer.json()["detail"]
                assert shared.jobs.get(job).state in ("queued", "succeeded")
    campaign.figure("routes x scopes", target="403 or success", measured=f"{asked}", met=not wrong)
    assert wrong == []


def test_an_admin_key_may_do_and_see_everything(
    shared: SharedService, operations: list[Operation]
) -> None:
    for operation in operations:
        for owner in ("ada", None):
            job = shared.target(operation, owner)
            answer = operation.send(shared.client, job, shared.key["ops", "admin"])
            assert answer.is_success, (operation.method, operation.template, answer.text)


# --- With a key of another owner ---


def test_jobs_of_other_owners_do_not_exist_for_a_key(
    shared: SharedService, operations: list[Operation], campaign: Campaign
) -> None:
    asked, wrong = 0, []
    for operation in operations:
        if not operation.of_a_job:
            continue
        key = shared.key["bob", operation.scope or "read"]
        missing = "job_01999999-0000-7000-8000-000000000000"
        nothing = operation.send(shared.client, missing, key)
        if operation.template != "/v1/epochs":  # it leaves out jobs that do not exist
            assert (nothing.status_code, nothing.json()["code"]) == (404, "job-not-found")
        for owner in ("ada", None):
            job = shared.target(operation, owner)
            before = shared.jobs.get(job)
            answer = operation.send(shared.client, job, key)
            asked += 1
            if answer.text.replace(job, missing) != nothing.text:
                wrong.append((operation.method, operation.template, owner, answer.status_code))
            assert _names(answer) == _names(nothing)
            assert shared.jobs.get(job) == before
    what = "routes of a job x jobs of another owner and of nobody"
    campaign.figure(what, target="404, as if it did not exist", measured=f"{asked}", met=not wrong)
    assert asked > 20
    assert wrong == []


def test_networks_of_others_do_not_exist_at_any_of_their_epochs(
    shared: SharedService, operations: list[Operation]
) -> None:
    """A job is named in the path, with an epoch or not, and in ?unlike."""
    missing, own = "job_01999999-0000-7000-8000-000000000000", shared.trained["bob"]
    asked = 0
    for operation in operations:
        if "ref" not in operation.parameters:
            continue
        key = shared.key["bob", operation.scope or "read"]
        for epoch in ("@0", "@1", "@best", "@last"):
            assert operation.send(shared.client, own + epoch, key).is_success, operation
            nothing = operation.send(shared.client, missing + epoch, key)
            assert nothing.json()["code"] == "job-not-found"
            for owner in ("ada", None):
                job = shared.trained[owner]
                answer = operation.send(shared.client, job + epoch, key)
                assert answer.text.replace(job, missing) == nothing.text, operation
                asked += 1
    assert asked > 50


def test_jobs_of_others_do_not_exist_in_queries_and_bodies(shared: SharedService) -> None:
    client, missing = shared.client, "job_01999999-0000-7000-8000-000000000000"
    own, reads = shared.trained["bob"], {**bearer(shared.key["bob", "read"]), "Request-Id": "same"}

    def asked(job: str) -> list[str]:
        epochs = client.get(f"/v1/epochs?jobs={job},{own}", headers=reads)
        assert list(epochs.json()["data"]) == [own]
        answers = [
            client.get(
                f"/v1/models/{own}/evaluation/misread.json?unlike={job}{epoch}", headers=reads
            )
            for epoch in ("", "@1", "@best")
        ]
        answers += [
            client.get(f"/v1/models/{own}/evaluation/comparison?unlike={job}", headers=reads)
        ]
        answers += [client.get(f"/v1/jobs?after={job}&sort=-best", headers=reads)]
        assert {it.status_code for it in answers} == {404}
        found = client.get("/v1/jobs", params={"q": job, "fields": "summary"}, headers=reads)
        assert found.json()["data"] == []
        acts = bearer(shared.key["bob", "train"])
        for action in ("cancel", "pause", "resume", "delete"):
            body = {"action": action, "jobs": [job]}
            acted = client.post("/v1/jobs/actions", json=body, headers=acts)
            [result] = acted.json()["data"]
            assert result["problem"]["code"] == "job-not-found"
            answers.append(acted)
        return [it.text.replace(job, missing) for it in [*answers, epochs, found]]

    nothing, before = asked(missing), snapshot(shared)
    for owner in ("ada", None):
        assert asked(shared.trained[owner]) == nothing
    assert snapshot(shared) == before


def test_the_counts_of_the_server_are_those_of_ones_own_jobs(shared: SharedService) -> None:
    for owner in ("ada", "bob"):
        headers = bearer(shared.key[owner, "read"])
        counted = shared.client.get("/v1/system", headers=headers).json()["jobs"]
        listed = shared.client.get("/v1/jobs?limit=100", headers=headers).json()["data"]
        assert sum(counted.values()) == len(listed)
        assert sum(counted.values()) < len(snapshot(shared))


def _names(answer: Any) -> set[str]:
    return {name.lower() for name in answer.headers}


# --- A server that runs ---


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, datasets_dir: Path
) -> Iterator[GuardedServer]:
    data_dir = tmp_path_factory.mktemp("guarded")
    shutil.copy(empty_database, data_dir)
    database = Database(f"sqlite:///{data_dir / 'jobs.sqlite3'}")
    submit(JobStore(database), **QUICK)
    keys = ApiKeyStore(database)
    server = Server(data_dir, datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    assert len(server.http.get("/v1/jobs").json()["data"]) == 1  # open: there are no keys
    found = GuardedServer(server, keys, keys.create("ops", ["admin"]))
    found.seconds_until(200, found.admin)
    eventually(lambda: server.http.get("/v1/jobs").status_code == 401, "the doors to close", 10)
    yield found
    server.stop()
    database.close()


def test_a_revoked_key_is_refused_soon(guarded: GuardedServer, campaign: Campaign) -> None:
    slowest = 0.0
    for _ in range(campaign.of(1, 10)):
        key = guarded.create("read")
        guarded.keys.revoke(id_of(key))
        slowest = max(slowest, guarded.seconds_until(401, key))
    met = slowest < 2
    campaign.figure(
        "a server that runs refuses a revoked key",
        target="within 2 s",
        measured=f"{slowest:.1f} s",
        met=met,
    )
    assert met


def test_a_body_is_not_read_without_a_key(
    guarded: GuardedServer, operations: list[Operation], campaign: Campaign
) -> None:
    posts = [operation for operation in operations if operation.method == "POST"]
    assert len(posts) >= 3
    most = 0
    for operation in posts:
        path = re.sub(r"\{action\}", "pause", operation.template)
        path = re.sub(r"\{.*?\}", "latest", path)
        for _ in range(campaign.of(1, 20)):
            status, read = upload(guarded.server, path, "")
            assert status == 401
            most = max(most, read)
    met = most <= 64 * 1024
    campaign.figure(
        "bytes the server reads of a 10 MiB body without a key, any POST route",
        target="at most 64 KiB",
        measured=f"{most / 1024:.0f} KiB",
        met=met,
    )
    header = f"Authorization: Bearer {guarded.admin}\r\n"
    status, read = upload(guarded.server, "/v1/models/latest/predict", header)
    assert status != 401
    assert read > 9 * 1024**2  # the measure sees what is read
    assert met


def test_a_refused_client_gets_the_answer_while_it_still_sends_the_body(
    guarded: GuardedServer,
) -> None:
    predict = f"{guarded.server.url}/v1/models/latest/predict"
    answer = httpx2.post(predict, content=bytes(BODY_BYTES))
    assert answer.status_code == 401
    assert answer.headers["Connection"] == "close"


def test_a_stream_ends_with_its_key(guarded: GuardedServer) -> None:
    http, key = guarded.server.http, guarded.create("read", "train")
    made = http.post("/v1/jobs", json=QUICK, headers=bearer(key)).json()
    with http.stream("GET", made["links"]["events"], headers=bearer(key)) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(("event: state", "id:", "data:"))
        guarded.keys.revoke(id_of(key))
        guarded.seconds_until(401, key)
        http.post(f"/v1/jobs/{made['id']}/cancel", headers=bearer(guarded.admin))
        heard = "\n".join(lines)
    assert "queued" in heard
    assert "cancelled" not in heard


def test_no_secret_is_written_anywhere(guarded: GuardedServer) -> None:
    """Not even if a client sends it in the wrong place."""
    http, key = guarded.server.http, guarded.create("read")
    http.get("/v1/jobs", params={"key": key}, headers=bearer(guarded.admin))
    http.get(f"/v1/jobs/{key}", headers={"Authorization": f"Basic {key}"})
    masked = quote(f"mlp_{id_of(key)}_…")  # as in the paths of the access log
    eventually(lambda: masked in guarded.server.log(), "the log")
    files = [path for path in guarded.server.data_dir.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        assert not any(known[-43:].encode() in content for known in (key, guarded.admin)), path
