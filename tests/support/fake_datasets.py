"""The routes of data sets in the fake of the service."""

import json
import re
from email import message_from_bytes, policy
from typing import Any

import httpx2

from mlp_client.dataset_records import DatasetReason, DatasetRecord, DatasetState
from service.domain.errors import DatasetInUse
from tests.support.fake_service import FakeService, problem


def make_dataset(name: str, state: str = "ready", **fields: Any) -> DatasetRecord:
    ready = {"classes": ["a", "b"], "train_rows": 8, "test_rows": 2, "input": "image"}
    known = ready if state == "ready" else {}
    return DatasetRecord(name=name, state=DatasetState(state), **{**known, **fields})


class FakeDatasets(FakeService):
    """A fake of the service that keeps data sets.

    Attributes:
        sets: the records, by name.
        sent: what was uploaded: the options, and the bytes of the files by their names.
        ends: the states that a set goes through, one at each request that looks at it.
        found: what reports say, by their fields.

    """

    def __init__(self) -> None:
        super().__init__()
        self.sets: dict[str, DatasetRecord] = {"mnist": make_dataset("mnist")}
        self.sent: list[tuple[dict[str, Any], dict[str, bytes]]] = []
        self.ends: list[DatasetRecord] = []
        self.found: dict[str, Any] = {}
        self.routes += [
            ("PUT /v1/datasets/([^/]+)", self.put_set),
            ("POST /v1/datasets", self.post_set),
            ("GET /v1/datasets", self.list_sets),
            ("GET /v1/datasets/([^/]+)", self.get_set),
            ("GET /v1/datasets/([^/]+)/report", self.get_report),
            ("GET /v1/datasets/([^/]+)/events", self.open_stream),
            ("DELETE /v1/datasets/([^/]+)", self.delete_set),
        ]

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        return super().answer(request)

    def put_set(self, request: httpx2.Request, name: str) -> httpx2.Response:
        options = json.loads(request.url.params.get("options", "{}"))
        return self.keep(name, options, {"": request.content})

    def post_set(self, request: httpx2.Request) -> httpx2.Response:
        if request.headers["Content-Type"] == "application/json":
            return self.keep((body := json.loads(request.content))["name"], body, {})
        fields, files = parts_of(request)
        return self.keep(fields["name"], json.loads(fields["options"]), files)

    def keep(self, name: str, options: Any, files: dict[str, bytes]) -> httpx2.Response:
        if not re.fullmatch("[a-z0-9][a-z0-9._-]{0,62}", name):
            return problem(422, f"{name!r} is no name of a data set.")
        self.sent.append((options, files))
        self.sets[name] = make_dataset(name, "queued")
        return answer_of(self.sets[name], 201)

    def list_sets(self, request: httpx2.Request) -> httpx2.Response:
        data = [record.model_dump(mode="json") for record in self.sets.values()]
        return httpx2.Response(200, json={"data": data})

    def get_set(self, request: httpx2.Request, name: str) -> httpx2.Response:
        if name not in self.sets:
            return problem(404, f"There is no data set {name!r}.")
        if self.ends:
            self.sets[name] = self.ends.pop(0)
        return answer_of(self.sets[name])

    def get_report(self, request: httpx2.Request, name: str) -> httpx2.Response:
        return httpx2.Response(
            200, json={"dataset": name, "state": self.sets[name].state, **self.found}
        )

    def delete_set(self, request: httpx2.Request, name: str) -> httpx2.Response:
        if "force" not in request.url.params:
            return problem(409, str(DatasetInUse(name, ["job_1"])))
        del self.sets[name]
        return httpx2.Response(204)


def failed(name: str, message: str) -> DatasetRecord:
    return make_dataset(name, "failed", reason=DatasetReason(code="told", message=message))


def parts_of(request: httpx2.Request) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the fields and the files of a form, by their names."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + request.content, policy=policy.HTTP)
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in message.iter_parts():
        content: Any = part.get_payload(decode=True)
        if filename := part.get_filename():
            files[filename] = content
        else:
            fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields, files


def answer_of(record: DatasetRecord, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, json=record.model_dump(mode="json"))
