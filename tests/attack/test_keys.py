"""Every route, with every key that must not open it: what others own does not exist.

The requests are made from the OpenAPI document, so a new route is attacked by itself.
"""

import hmac
import random
import re
import shutil
import socket
import string
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from threadpoolctl import threadpool_limits

from service.app import create_app
from service.server import auth
from service.store.api_keys import KeyStore
from service.store.checkpoints import CheckpointStore
from service.store.datasets import DatasetStore
from service.store.files.local import Artifacts
from service.store.jobs import JobStore
from service.store.sql.connector import Database
from service.work.worker import Worker
from tests.conftest import QUICK, submit
from tests.service.conftest import URL
from tests.support.campaign import Campaign
from tests.support.live_service import claimed, settings
from tests.support.server_process import Server, eventually

OWNERS = ("ada", "bob")
SCOPES = ("read", "predict", "train")
OPEN = ("/", "/livez", "/readyz", "/docs", "/openapi.json", "/problems/{code}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
BODY_BYTES = 10 * 1024**2
# What stands in addresses, by name; a new name makes the campaign fail until it stands here too.
PARAMETERS = {
    "format": None,  # the first of its list
    "layer": "1",
    "action": "pause",
    "name": "mnist",
    "split": "test",
    "index": "0",
    "code": "invalid",
}
OF_A_JOB = ("job", "ref", "jobs")


@dataclass(frozen=True)
class Operation:
    method: str
    template: str
    parameters: dict[str, dict[str, Any]]
    """Those that must be given, by name."""
    example: Any
    """A body, or None."""

    @property
    def of_a_job(self) -> bool:
        return any(name in OF_A_JOB for name in self.parameters)

    @property
    def scope(self) -> str | None:
        """What the design says, told without the code under test."""
        if self.template in OPEN:
            return None
        if self.method == "GET":
            return "read"
        return "predict" if self.template.endswith("/predict") else "train"

    def send(self, client: Any, job: str, key: str | None) -> Any:
        values = {name: self._value(name, job) for name in self.parameters}
        query = {n: v for n, v in values.items() if self.parameters[n]["in"] == "query"}
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        path = self.template.format(**values)
        return client.request(self.method, path, params=query, json=self.example, headers=headers)

    def _value(self, name: str, job: str) -> str:
        if name in OF_A_JOB:
            return job
        schema = self.parameters[name]["schema"]
        return PARAMETERS[name] or schema["enum"][0]


@dataclass
class Town:
    """A service with the jobs of two owners and of nobody, and with keys of all kinds."""

    client: TestClient
    jobs: JobStore
    keys: KeyStore
    key: dict[tuple[str, str], str]
    """By owner and scope."""
    refused: dict[str, str | None]
    """Keys that open nothing, by what is wrong with them."""
    trained: dict[str | None, str]
    """A job that has succeeded, by owner."""

    def of(self, owner: str | None) -> JobStore:
        return self.jobs.seen_by(owner, everything=owner is None)

    def target(self, operation: Operation, owner: str | None) -> str:
        """Return a job that the operation works on; one that is changed is made for it."""
        if operation.method == "GET" or operation.scope == "predict":
            return self.trained[owner]
        return submit(self.of(owner), **QUICK)


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, datasets_dir: Path
) -> Iterator[Town]:
    data_dir = tmp_path_factory.mktemp("town")
    shutil.copy(empty_database, data_dir)
    database = Database(f"sqlite:///{data_dir / 'jobs.sqlite3'}")
    keys = KeyStore(database)
    trained: dict[str | None, str] = {}
    for owner in (*OWNERS, None):  # nobody's job succeeds last
        submit(JobStore(database).seen_by(owner, everything=owner is None), **QUICK)
        attempt = claimed(database)
        artifacts = CheckpointStore(Artifacts(data_dir / "jobs"))
        worker = Worker(attempt, artifacts, DatasetStore(datasets_dir))
        with threadpool_limits(1):  # as workers have it: two threads wait for each other
            worker.run(worker.begin())
        trained[owner] = attempt.job
    made = {(owner, scope): keys.create(owner, [scope]) for owner in OWNERS for scope in SCOPES}
    made["ops", "admin"] = keys.create("ops", ["admin"])
    app = create_app(settings(data_dir, datasets_dir))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield Town(client, JobStore(database), keys, made, refused_keys(keys), trained)
    database.close()


def id_of(key: str) -> str:
    return key.split("_")[1]


def refused_keys(keys: KeyStore) -> dict[str, str | None]:
    everything = ["admin", *SCOPES]
    good, other = keys.create("ada", everything), keys.create("bob", everything)
    revoked = keys.create("ada", everything)
    keys.revoke(id_of(revoked))
    mixed = f"mlp_{id_of(good)}_{other[-43:]}"
    return {
        "none": None,
        "empty": "mlp__",
        "no key": "hunter2",
        "cut": good[:-1],
        "too long": good + "A",
        "unknown id": "mlp_" + "a" * 10 + good[-44:],
        "secret of another": mixed,
        "wrong secret": good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        "expired": keys.create("ada", everything, timedelta(0)),
        "revoked": revoked,
    }


@pytest.fixture(scope="module")
def operations(town: Town) -> list[Operation]:
    document = town.client.get("/openapi.json").json()
    return [
        Operation(
            method.upper(),
            path,
            {it["name"]: it for it in found.get("parameters", []) if it["required"]},
            _example(found),
        )
        for path, item in document["paths"].items()
        for method, found in item.items()
    ]


def _example(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return next(iter(content["examples"].values()))["value"] if content else None


def snapshot(town: Town) -> list[Any]:
    """All jobs as they are: nothing that is refused may change one."""
    return town.jobs.page(100).jobs


# --- Without a good key ---


def test_no_route_opens_without_a_valid_key(
    town: Town, operations: list[Operation], campaign: Campaign
) -> None:
    before, asked, wrong = snapshot(town), 0, []
    for operation in operations:
        for what, key in town.refused.items():
            answer = operation.send(town.client, town.trained["ada"], key)
            asked += 1
            if (answer.status_code == 401) != (operation.scope is not None):
                wrong.append((operation.method, operation.template, what, answer.status_code))
            if answer.status_code == 401:
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    what = "requests to each route without a key, or with one that is not valid"
    campaign.figure(
        what, target="all 401", measured=f"{len(wrong)} of {asked} got in", met=not wrong
    )
    assert wrong == []
    assert snapshot(town) == before


def test_no_other_method_opens_an_address(town: Town, operations: list[Operation]) -> None:
    paths = {operation.template for operation in operations} | {"/nothing", "/v1/new"}
    for path in paths - set(OPEN):
        filled = re.sub(r"\{.*?\}", "x", path)
        for method in METHODS:
            answer = town.client.request(method, filled)
            assert answer.status_code == 401, (method, path)
    for path in ("/livez", "/docs", "/"):
        assert town.client.get(path).status_code == 200
        assert town.client.post(path).status_code == 401
    assert town.client.get("/v1/../livez/%2e%2e/v1/jobs").status_code == 401
    assert town.client.get("/vendor/../v1/jobs").status_code in (401, 404)


def test_only_who_knows_the_secret_learns_that_a_key_was_valid_once(town: Town) -> None:
    texts = {
        what: Operation("GET", "/v1/jobs", {}, None).send(town.client, "", key).json()["detail"]
        for what, key in town.refused.items()
    }
    assert "has expired" in texts.pop("expired")
    assert "was revoked" in texts.pop("revoked")
    assert texts["unknown id"] == texts["wrong secret"]
    assert len(set(texts.values())) == 3, "nothing, no key, a key that is not known"


def test_headers_that_are_nearly_a_key_open_nothing(town: Town, campaign: Campaign) -> None:
    chance, good = random.Random(campaign.full), town.key["ada", "read"]
    count = campaign.of(300, 20_000)
    got_in = []
    for _ in range(count):
        header = _mutated(chance, f"Bearer {good}")
        answer = town.client.get("/v1/presets", headers={"Authorization": header})
        same = header.lower().startswith("bearer ") and header[7:].strip() == good
        if answer.status_code != 401 and not same:
            got_in.append(header.replace(good[-43:], "…"))
    campaign.figure(
        "mutated Authorization headers", target="all 401", measured=count, met=not got_in
    )
    assert got_in == []
    twice = [("Authorization", f"Bearer {good}")] * 2
    assert town.client.get("/v1/presets", headers=twice).status_code == 401


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
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return hmac.compare_digest(a, b)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(auth, "hmac", Spy)
    jobs = Operation("GET", "/v1/jobs", {}, None)
    for what, status in (("unknown id", 401), ("wrong secret", 401), ("revoked", 401)):
        assert jobs.send(town.client, "", town.refused[what]).status_code == status
    assert jobs.send(town.client, "", town.key["ada", "read"]).status_code == 200
    assert compared == [(64, 64)] * 4


# --- With a key of too small a scope ---


def test_a_scope_opens_its_routes_and_no_other(
    town: Town, operations: list[Operation], campaign: Campaign
) -> None:
    asked, wrong = 0, []
    for operation in operations:
        for scope in SCOPES:
            job = town.target(operation, "ada")
            answer = operation.send(town.client, job, town.key["ada", scope])
            asked += 1
            allowed = operation.scope in (None, scope)
            expected = answer.is_success if allowed else answer.status_code == 403
            if not expected:
                wrong.append((operation.method, operation.template, scope, answer.status_code))
            if answer.status_code == 403:
                assert repr(operation.scope) in answer.json()["detail"]
                assert town.jobs.get(job).state in ("queued", "succeeded")
    campaign.figure("routes x scopes", target="403 or success", measured=f"{asked}", met=not wrong)
    assert wrong == []


def test_admin_may_all_and_sees_all(town: Town, operations: list[Operation]) -> None:
    for operation in operations:
        for owner in ("ada", None):
            job = town.target(operation, owner)
            answer = operation.send(town.client, job, town.key["ops", "admin"])
            assert answer.is_success, (operation.method, operation.template, answer.text)


# --- With a key of another owner ---


def test_what_others_own_does_not_exist(
    town: Town, operations: list[Operation], campaign: Campaign
) -> None:
    asked, wrong = 0, []
    for operation in operations:
        if not operation.of_a_job:
            continue
        key = town.key["bob", operation.scope or "read"]
        missing = "job_01999999-0000-7000-8000-000000000000"
        nothing = operation.send(town.client, missing, key)
        assert (nothing.status_code, nothing.json()["code"]) == (404, "job-not-found")
        for owner in ("ada", None):
            job = town.target(operation, owner)
            before = town.jobs.get(job)
            answer = operation.send(town.client, job, key)
            asked += 1
            if answer.text.replace(job, missing) != nothing.text:
                wrong.append((operation.method, operation.template, owner, answer.status_code))
            assert _names(answer) == _names(nothing)
            assert town.jobs.get(job) == before
    what = "routes of a job x jobs of another owner and of nobody"
    campaign.figure(what, target="404, as if it did not exist", measured=f"{asked}", met=not wrong)
    assert asked > 20
    assert wrong == []


def _names(answer: Any) -> set[str]:
    return {name.lower() for name in answer.headers}


def test_a_held_etag_tells_nothing_about_the_jobs_of_others(town: Town) -> None:
    headers = {"Authorization": f"Bearer {town.key['bob', 'read']}", "If-None-Match": "*"}
    for tail in ("", "/curves.png", "/epochs.csv"):
        answer = town.client.get(f"/v1/jobs/{town.trained['ada']}{tail}", headers=headers)
        assert answer.status_code == 404
    weights = f"/v1/models/{town.trained['ada']}/weights.npz"
    assert town.client.get(weights, headers=headers).status_code == 404


def test_lists_are_disjoint_and_pages_never_lead_to_others(town: Town) -> None:
    for owner in OWNERS:
        submit(town.of(owner), **QUICK)
    seen = {owner: everything(town, town.key[owner, "read"]) for owner in OWNERS}
    assert all(seen.values())
    assert not seen["ada"] & seen["bob"]
    all_of_them = everything(town, town.key["ops", "admin"])
    assert seen["ada"] | seen["bob"] < all_of_them
    assert town.trained[None] in all_of_them
    jobs = {"limit": 1, "after": town.trained["ada"]}
    headers = {"Authorization": f"Bearer {town.key['bob', 'read']}"}
    assert town.client.get("/v1/jobs", params=jobs, headers=headers).status_code == 404


def everything(town: Town, key: str) -> set[str]:
    """Return the ids on all pages."""
    found: list[str] = []
    more, after = True, {}
    while more:
        page = town.client.get(
            "/v1/jobs", params={"limit": 7, **after}, headers={"Authorization": f"Bearer {key}"}
        ).json()
        found += [job["id"] for job in page["data"]]
        more, after = page["has_more"], {"after": page["last_id"]}
    assert len(found) == len(set(found))
    return set(found)


def test_latest_is_the_owners_own(town: Town) -> None:
    sample = {"inputs": [{"dataset": "mnist", "index": 7}]}
    for owner, job in town.trained.items():
        for_owner = town.key[owner, "predict"] if owner else town.key["ops", "admin"]
        answer = town.client.post(
            "/v1/models/latest/predict",
            json=sample,
            headers={"Authorization": f"Bearer {for_owner}"},
        )
        assert answer.json()["model"] == job
    newcomer = town.keys.create("eve", SCOPES)
    time.sleep(auth.KEY_CACHE_SECONDS)
    headers = {"Authorization": f"Bearer {newcomer}"}
    answer = town.client.get("/v1/models/latest/weights.npz", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")


def test_a_picture_of_several_jobs_takes_only_ones_own(town: Town) -> None:
    headers = {"Authorization": f"Bearer {town.key['ada', 'read']}"}
    own, foreign = town.trained["ada"], town.trained["bob"]
    for ids, status in ((own, 200), (f"{own},{foreign}", 404), (f"{foreign},{own}", 404)):
        answer = town.client.get("/v1/curves.svg", params={"jobs": ids}, headers=headers)
        assert answer.status_code == status


def test_idempotency_keys_of_two_owners_are_two(town: Town) -> None:
    def post(owner: str, **spec: object) -> Any:
        bearer = {"Authorization": f"Bearer {town.key[owner, 'train']}"}
        headers = {**bearer, "Idempotency-Key": "same"}
        return town.client.post("/v1/jobs", json={**QUICK, **spec}, headers=headers)

    first, other = post("ada", seed=1), post("bob", seed=2)
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]
    again = post("ada", seed=1)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert post("bob", seed=1).status_code == 422


def test_the_metrics_name_no_owner_and_no_job(town: Town) -> None:
    headers = {"Authorization": f"Bearer {town.key['bob', 'read']}"}
    text = town.client.get("/metrics", headers=headers).text
    assert "mlp_jobs{" in text
    for word in (*OWNERS, "job_0", "mlp_" + id_of(town.key["ada", "read"])):
        assert word not in text.replace("openapi", "")


# --- A server that runs ---


@dataclass
class Guarded:
    """A server that runs, and trains nothing; its keys are at hand."""

    server: Server
    keys: KeyStore
    admin: str

    def create(self, *scopes: str) -> str:
        """Return a new key of ada's, once the server knows it."""
        key = self.keys.create("ada", scopes)
        self.seconds_until(200, key)
        return key

    def seconds_until(self, status: int, key: str) -> float:
        """Wait until the server answers a request with the key by this status."""
        started = time.monotonic()
        eventually(
            lambda: self.server.http.get("/v1/jobs", headers=bearer(key)).status_code == status,
            f"{status} for a key",
            10,
        )
        return time.monotonic() - started


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, datasets_dir: Path
) -> Iterator[Guarded]:
    data_dir = tmp_path_factory.mktemp("guarded")
    shutil.copy(empty_database, data_dir)
    database = Database(f"sqlite:///{data_dir / 'jobs.sqlite3'}")
    submit(JobStore(database), **QUICK)
    keys = KeyStore(database)
    server = Server(data_dir, datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    assert len(server.http.get("/v1/jobs").json()["data"]) == 1  # open: there are no keys
    found = Guarded(server, keys, keys.create("ops", ["admin"]))
    found.seconds_until(200, found.admin)
    eventually(lambda: server.http.get("/v1/jobs").status_code == 401, "the doors to close", 10)
    yield found
    server.stop()
    database.close()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_revoked_key_is_refused_soon(guarded: Guarded, campaign: Campaign) -> None:
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
    guarded: Guarded, operations: list[Operation], campaign: Campaign
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


def test_who_is_refused_hears_so_while_the_body_is_still_sent(guarded: Guarded) -> None:
    predict = f"{guarded.server.url}/v1/models/latest/predict"
    answer = httpx2.post(predict, content=bytes(BODY_BYTES))
    assert answer.status_code == 401
    assert answer.headers["Connection"] == "close"


def test_a_stream_ends_with_its_key(guarded: Guarded) -> None:
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


def test_no_secret_is_written_anywhere(guarded: Guarded) -> None:
    """Not even if a client puts it where it does not belong."""
    http, key = guarded.server.http, guarded.create("read")
    http.get("/v1/jobs", params={"key": key}, headers=bearer(guarded.admin))
    http.get(f"/v1/jobs/{key}", headers={"Authorization": f"Basic {key}"})
    eventually(lambda: f"mlp_{id_of(key)}_…" in guarded.server.log(), "the log")
    files = [path for path in guarded.server.data_dir.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        assert not any(known[-43:].encode() in content for known in (key, guarded.admin)), path


def upload(server: Server, path: str, header: str) -> tuple[int, int]:
    """Send 10 MiB; return the status, and the bytes that the server's process has read."""
    before = bytes_read(server)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n{header}"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        with suppress(ConnectionError):
            connection.sendall(head.encode() + bytes(BODY_BYTES))
        status = connection.recv(12)
    return int(status.split()[1]), bytes_read(server) - before


def bytes_read(server: Server) -> int:
    """Return what the process has got from read calls, of sockets and of files."""
    text = Path(f"/proc/{server.pid}/io").read_text()
    return int(re.findall(r"rchar: (\d+)", text)[0])
