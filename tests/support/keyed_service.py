"""A service with several owners and keys of all kinds, and every request that it documents."""

import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from threadpoolctl import threadpool_limits

from service.app import create_app
from service.store.api_keys import ApiKeyStore
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.work.worker import Worker
from tests.conftest import QUICK, submit
from tests.service.conftest import URL
from tests.support.engines import artifacts_of, database_url_of
from tests.support.live_service import claimed, settings
from tests.support.server_process import Server, eventually

OWNERS = ("ada", "bob")
SCOPES = ("read", "predict", "train")
OPEN = ("/", "/livez", "/readyz", "/docs", "/openapi.json", "/problems/{code}", "/v1/session")
KEY_OPTIONAL = ("/v1/system",)
ENDLESS = ("/v1/events",)
"""Streams without an end; only their headers are asked for."""
BODY_BYTES = 10 * 1024**2
# Values of path and query parameters; a new parameter fails the campaign until it is added here.
PARAMETERS = {
    "format": None,  # the first of its list
    "layer": "1",
    "part": None,
    "action": "pause",
    "name": "mnist",
    "split": "test",
    "index": "0",
    "code": "invalid",
    "evaluation": "ev_of_nobody",
    "number": "1",
}
OF_A_SET = "/v1/datasets/{name}"
SAMPLE = {"label": "7", "image": {"dataset": "mnist", "index": 0}}
OF_A_JOB = ("job", "ref", "jobs", "unlike")


@dataclass(frozen=True)
class Operation:
    """A method and a path of the API."""

    method: str
    template: str
    parameters: dict[str, dict[str, Any]]
    """The required ones, by name."""
    example: Any
    """A body, or None."""

    def is_open_to(self, key: str | None) -> bool:
        """Whether a request passes with a key that is not valid, or without one."""
        return self.scope is None or (self.scope == "any" and key is None)

    @property
    def of_a_job(self) -> bool:
        return any(name in OF_A_JOB for name in self.parameters)

    @property
    def scope(self) -> str | None:
        """The scope that the design demands, found without the code under test."""
        if self.template in OPEN:
            return None
        if self.template in KEY_OPTIONAL:
            return "any"
        if self.method == "GET" or self.template == "/v1/jobs/preview":
            return "read"
        return "predict" if self.template.endswith(("/predict", "/predict.npy")) else "train"

    def send(
        self, client: Any, job: str, key: str | None, more: Mapping[str, str] | None = None
    ) -> Any:
        """Send it with a key, or with none but with other headers."""
        values = {name: self._value(name, job) for name in self.parameters}
        query = {n: v for n, v in values.items() if self.parameters[n]["in"] == "query"}
        headers = {"Request-Id": "same", **(more or {})}  # so that answers can be compared
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        if self.changes_datasets:
            return self._send_dataset(client, headers)
        if "evaluation" in values:
            values["evaluation"] = _evaluation(client, headers)
        path = self.template.format(**values)
        if self.template in ENDLESS:
            found = client.head(path, headers=headers)
            if found.is_success:
                return found
        return client.request(self.method, path, params=query, json=self.example, headers=headers)

    @property
    def changes_datasets(self) -> bool:
        return self.template.startswith("/v1/datasets") and self.method != "GET"

    def _send_dataset(self, client: Any, headers: Mapping[str, str]) -> Any:
        """Send a file, which becomes no data set, or a sample; or delete what was made of it."""
        name = f"set-{uuid.uuid4().hex}"
        path = self.template.format(name=name, number=PARAMETERS["number"])
        if self.template.startswith(f"{OF_A_SET}/samples") and self.method == "DELETE":
            client.post(f"{OF_A_SET}/samples".format(name=name), json=SAMPLE, headers=headers)
        if self.template.startswith(OF_A_SET) and self.method == "POST":
            sent = client.post(
                f"{OF_A_SET}/samples".format(name=name), json=SAMPLE, headers=headers
            )
            if not self.template.endswith("/samples"):
                sent = client.post(path, headers=headers)
            client.delete(OF_A_SET.format(name=name), headers=headers)
            return sent
        if self.method == "POST":
            form = {"data": {"name": name}, "files": {"file": ("a.npz", b"x")}}
            return client.post(path, headers=headers, **form)
        sent = client.put(path, content=b"x", headers=headers)
        return sent if self.method == "PUT" else client.delete(path, headers=headers)

    def _value(self, name: str, job: str) -> str:
        if name in OF_A_JOB:
            return job
        schema = self.parameters[name]["schema"]
        return PARAMETERS[name] or schema["enum"][0]


def _evaluation(client: Any, headers: Mapping[str, str]) -> str:
    """Return an evaluation, queued now if the key allows it, or else the newest that it sees."""
    sent = client.post("/v1/evaluations", json={"model": "latest"}, headers=headers)
    if sent.is_success:
        return str(sent.json()["id"])
    found = client.get("/v1/evaluations", headers=headers)
    data = found.json()["data"] if found.is_success else []
    return data[0]["id"] if data else "ev_of_nobody"


def operations_of(document: dict[str, Any]) -> list[Operation]:
    """Return all operations of an OpenAPI document."""
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


@dataclass
class SharedService:
    """A service with jobs of two owners and without an owner, and with keys of all kinds."""

    client: TestClient
    jobs: JobStore
    keys: ApiKeyStore
    key: dict[tuple[str, str], str]
    """Keys that work, by owner and scope. The key of app predicts with the models of ada."""
    refused: dict[str, str | None]
    """Keys that must not work, by what is wrong with them."""
    trained: dict[str | None, str]
    """A job that has succeeded, by owner; the one without an owner succeeded last."""
    data_dir: Path

    def jobs_of(self, owner: str | None) -> JobStore:
        return self.jobs.seen_by(owner, everything=owner is None)

    def target(self, operation: Operation, owner: str | None) -> str:
        """Return a job for the operation: a new one if the operation changes it."""
        if operation.method == "GET" or operation.scope == "predict":
            return self.trained[owner]
        return submit(self.jobs_of(owner), **QUICK)


@contextmanager
def shared_service(data_dir: Path, datasets_dir: Path) -> Iterator[SharedService]:
    """Run a service in this process, on an empty database in `data_dir`."""
    database = Database(database_url_of(data_dir))
    keys = ApiKeyStore(database)
    trained = {owner: _train(database, data_dir, datasets_dir, owner) for owner in (*OWNERS, None)}
    created = {(owner, scope): keys.create(owner, [scope]) for owner in OWNERS for scope in SCOPES}
    created["ops", "admin"] = keys.create("ops", ["admin"])
    created["app", "predict"] = keys.create("app", ["predict"], models_of="ada")
    app = create_app(settings(data_dir, datasets_dir))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        jobs = JobStore(database)
        yield SharedService(client, jobs, keys, created, refused_keys(keys), trained, data_dir)
    database.close()


def _train(database: Database, data_dir: Path, datasets_dir: Path, owner: str | None) -> str:
    submit(JobStore(database).seen_by(owner, everything=owner is None), **QUICK)
    attempt = claimed(database)
    checkpoints = CheckpointStore(artifacts_of(data_dir))
    worker = Worker(attempt, checkpoints, DatasetFiles(datasets_dir))
    with threadpool_limits(1):  # as in a worker process: two threads wait for each other
        worker.run(worker.begin())
    return attempt.job


def id_of(key: str) -> str:
    return key.split("_")[1]


def refused_keys(keys: ApiKeyStore) -> dict[str, str | None]:
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


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def visible_jobs(shared: SharedService, key: str) -> set[str]:
    """Return the ids of all jobs that the key sees, from all pages."""
    found: list[str] = []
    more, parameters = True, {"limit": "7"}
    while more:
        page = shared.client.get("/v1/jobs", params=parameters, headers=bearer(key)).json()
        found += [job["id"] for job in page["data"]]
        more, parameters = page["has_more"], {"limit": "7", "after": page["last_id"]}
    assert len(found) == len(set(found))
    return set(found)


@dataclass
class GuardedServer:
    """A server process that trains nothing, and its keys."""

    server: Server
    keys: ApiKeyStore
    admin: str

    def create(self, *scopes: str) -> str:
        """Create a key of ada's; return it when the server knows it."""
        key = self.keys.create("ada", scopes)
        self.seconds_until(200, key)
        return key

    def seconds_until(self, status: int, key: str) -> float:
        """Wait until the server answers requests with the key with this status; return how long."""
        started = time.monotonic()
        eventually(
            lambda: self.server.http.get("/v1/jobs", headers=bearer(key)).status_code == status,
            f"{status} for a key",
            10,
        )
        return time.monotonic() - started


def upload(server: Server, path: str, header: str) -> tuple[int, int]:
    """Send 10 MiB; return the status and how many bytes the server process has read."""
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
    """Return how many bytes the process has read from sockets and files."""
    text = Path(f"/proc/{server.pid}/io").read_text()
    return int(re.findall(r"rchar: (\d+)", text)[0])
