"""A fake of the service with canned responses, for `httpx2.MockTransport` or on a real port."""

import io
import json
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, TypeAlias

import httpx2
import numpy as np

from mlp_client import AsyncClient, Client
from mlp_client.connection import Connection
from mlp_client.connection_settings import settings_of
from mlp_client.job_spec import StoredSpec
from mlp_client.job_state import FINAL, State
from mlp_client.records import Cost, Epoch, Job, Links, Metrics, Progress, Reason

NOW = datetime(2026, 11, 22, tzinfo=UTC)
URL = "http://fake"

Stream: TypeAlias = Sequence[bytes | Exception | Job]
"""What an event stream does: bytes to send, errors to raise, records that the job changes to."""
Handler: TypeAlias = Callable[..., httpx2.Response]
"""Called with the request and the groups of its route."""


def make_epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=1 / number,
        train_accuracy=0.9,
        test_loss=1.1 / number,
        test_accuracy=0.98,
        seconds=0.5,
    )


def make_job(
    job_id: str = "job_1", state: str = "running", done: int = 0, message: str = "", **spec: Any
) -> Job:
    """Return the record of a job with this number of finished epochs."""
    spec = {"epochs": 3, **spec}
    latest = make_epoch(done) if done else None
    epochs = spec["epochs"]
    return Job(
        id=job_id,
        state=State(state),
        reason=Reason(code="told", message=message) if message else None,
        attempt=1,
        lost_workers=0,
        spec=StoredSpec(**spec),
        spec_version=1,
        cost=Cost(parameters=1, bytes=1, flops=1, seconds=1),
        progress=Progress(
            epochs_done=done,
            epochs=epochs,
            batches_done=0,
            batches_per_epoch=938,
            fraction=done / epochs,
            eta_seconds=4.0,
        ),
        metrics=Metrics(latest=latest, final=latest if state == "succeeded" else None),
        weights_sha256=None,
        bit_exact=True,
        created_at=NOW,
        started_at=None,
        finished_at=None,
        links=Links(self="", epochs="", events="", curves="", weights="", predict=""),
    )


def message(event: str, data: object, number: int | None = None) -> bytes:
    """Write one server-sent event."""
    numbered = "" if number is None else f"id: {number}\n"
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {event}\n{numbered}data: {text}\n\n".encode()


def epoch_message(number: int, event_id: int) -> bytes:
    return message("epoch", make_epoch(number).model_dump(), event_id)


def state_message(state: str, event_id: int) -> bytes:
    return message("state", {"state": state, "attempt": 1, "reason": None, "at": "now"}, event_id)


def problem(status: int, detail: str, **more: Any) -> httpx2.Response:
    body = {
        "type": "/problems/x",
        "title": "Refused",
        "status": status,
        "detail": detail,
        "code": "x",
    }
    return httpx2.Response(
        status, json={**body, **more}, headers={"Content-Type": "application/problem+json"}
    )


class FakeService:
    """A service that keeps its jobs in attributes.

    Attributes:
        jobs: the stored records, by id.
        faults: used up first, one for each request. A response replaces the true one; an exception
            is raised instead of a response, after the request has taken effect.
        streams: event streams, one for each connection.
        finishes_immediately: whether submitted jobs have already succeeded.
        newest: id of the job that `latest` means.
        requests: all requests received.
        routes: method and path of each route, as a regular expression, and its handler.

    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}
        self.faults: deque[httpx2.Response | Exception] = deque()
        self.streams: deque[Stream] = deque()
        self.finishes_immediately = False
        self.newest = "ref_1"
        self.requests: list[httpx2.Request] = []
        self.routes: list[tuple[str, Handler]] = [
            ("POST /v1/jobs", self.create_job),
            ("GET /v1/jobs", self.list_jobs),
            (r"GET /v1/jobs/(\w+)", self.get_job),
            (r"GET /v1/jobs/(\w+)/events", self.open_stream),
            ("GET /v1/events", lambda request: self.open_stream(request, "")),
            (r"GET /v1/jobs/(\w+)/epochs", self.list_epochs),
            (r"POST /v1/jobs/(\w+)/(cancel|pause|resume)", self.act),
            (r"DELETE /v1/jobs/(\w+)", self.delete_job),
            (r"POST /v1/models/(\w+)/predict", self.predict),
            (r"GET /v1/datasets/mnist/test/(\d+)\.json", self.get_sample),
            (r"GET /v1/.*\.(png|svg|safetensors|npz|json)", self.get_file),
            ("GET /v1/presets", self.list_presets),
            ("GET /readyz", lambda request: httpx2.Response(200, json={})),
        ]

    def client(self) -> Client:
        return Client(URL, transport=httpx2.MockTransport(self))

    def async_client(self) -> AsyncClient:
        return AsyncClient(URL, transport=httpx2.MockTransport(self))

    def connection(self) -> Connection:
        return Connection(settings_of(URL, 30, 4, None), httpx2.MockTransport(self))

    def add(self, job: Job, *streams: Stream) -> Job:
        """Store a record, and the event streams of the next connections."""
        self.jobs[job.id] = job
        self.streams.extend(streams)
        return job

    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, httpx2.Response):
            return fault
        answer = self.answer(request)
        if fault is not None:
            raise fault
        return answer

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        line = f"{request.method} {request.url.path}"
        for pattern, handler in self.routes:
            if match := re.fullmatch(pattern, line):
                job_id = next(iter(match.groups()), "")
                if job_id.startswith("job_") and job_id not in self.jobs:
                    return problem(404, f"There is no job {job_id!r}.")
                return handler(request, *match.groups())
        return problem(404, f"There is nothing at {line}.")

    def create_job(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            spec = json.loads(request.content)
            if spec.get("epochs", 1) < 1:
                flaw = {"pointer": "#/epochs", "detail": "is below 1", "hint": "give 1 or more"}
                return problem(422, "#/epochs: is below 1", errors=[flaw])
            state, done = (
                ("succeeded", spec.get("epochs", 50))
                if self.finishes_immediately
                else ("queued", 0)
            )
            spec.pop("preset", None)
            self.keys[key] = self.add(
                make_job(f"job_{len(self.jobs) + 1}", state, done, **{"epochs": 50, **spec})
            ).id
        return answer_of(self.jobs[self.keys[key]], 201)

    def list_jobs(self, request: httpx2.Request) -> httpx2.Response:
        params = request.url.params
        ids = list(reversed(self.jobs))
        if after := params.get("after"):
            ids = ids[ids.index(after) + 1 :]
        if states := params.get_list("state"):
            ids = [job_id for job_id in ids if self.jobs[job_id].state in states]
        page = ids[: int(params["limit"])]
        data = [self.jobs[job_id].model_dump(mode="json") for job_id in page]
        last = page[-1] if page else None
        return httpx2.Response(
            200, json={"data": data, "has_more": len(ids) > len(page), "last_id": last}
        )

    def get_job(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        return answer_of(self.jobs[job_id])

    def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        steps: Stream = self.streams.popleft() if self.streams else []
        headers = {"Content-Type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=EventStream(self, steps))

    def list_epochs(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        done = self.jobs[job_id].progress.epochs_done
        return httpx2.Response(
            200, json={"data": [make_epoch(n).model_dump() for n in range(1, done + 1)]}
        )

    def act(self, request: httpx2.Request, job_id: str, action: str) -> httpx2.Response:
        if self.jobs[job_id].state in FINAL:
            return problem(409, f"A job in its final state can't do {action!r}.")
        state = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}[action]
        return answer_of(self.add(make_job(job_id, state)))

    def delete_job(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        del self.jobs[job_id]
        return httpx2.Response(204)

    def predict(self, request: httpx2.Request, ref: str) -> httpx2.Response:
        if request.headers["Content-Type"] == "application/x-npy":
            return self.predict_array(request, ref)
        if request.headers["Content-Type"] == "application/json":
            return self.predict_each(json.loads(request.content), ref)
        return self.predict_each({"inputs": [None], **options_of(request)}, ref)

    def predict_array(self, request: httpx2.Request, ref: str) -> httpx2.Response:
        images = np.load(io.BytesIO(request.content)).size // 784
        if request.headers["Accept"] != "application/x-npy":
            return self.predict_each({"inputs": [None] * images, **options_of(request)}, ref)
        file = io.BytesIO()
        np.save(file, np.eye(images, 10, dtype=np.float32))
        headers = {"Model": self.newest if ref == "latest" else ref}
        return httpx2.Response(200, headers=headers, content=file.getvalue())

    def predict_each(self, body: dict[str, Any], ref: str) -> httpx2.Response:
        seen: dict[str, Any] = {"normalized": True, "inverted": True, "box": [1, 2, 3, 4]}
        if body["return_pixels"]:
            seen["pixels"] = [[255] * 28] * 28
        prediction: dict[str, Any] = {"label": 7, "probability": 0.9, "input": seen}
        prediction["top_k"] = [{"label": 7, "probability": 0.9}, {"label": 1, "probability": 0.1}]
        return httpx2.Response(
            200,
            json={
                "model": self.newest if ref == "latest" else ref,
                "epochs_done": 3,
                "checkpoint_sha256": "",
                "predictions": [prediction for _ in body["inputs"]],
            },
        )

    def get_sample(self, request: httpx2.Request, index: str) -> httpx2.Response:
        return httpx2.Response(
            200, json={"index": int(index), "label": 7, "pixels": [[0] * 28] * 28}
        )

    def get_file(self, request: httpx2.Request, suffix: str) -> httpx2.Response:
        return httpx2.Response(200, content=f"a {suffix} of {request.url.path}".encode())

    def list_presets(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, json={"data": [{"name": "linear", "description": "", "spec": {"hidden": []}}]}
        )


class EventStream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, service: FakeService, steps: Stream) -> None:
        self.service, self.steps = service, steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in self:
            yield data

    def __iter__(self) -> Iterator[bytes]:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Job):
                self.service.add(step)
            else:
                yield step


def options_of(request: httpx2.Request) -> dict[str, Any]:
    """Return the options of a prediction that are query parameters."""
    texts = {name: value for name, value in request.url.params.items() if name != "normalize"}
    return {name: json.loads(value) for name, value in texts.items()}


def answer_of(job: Job, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, json=job.model_dump(mode="json"))


def body_of(headers: Message, file: BufferedIOBase) -> bytes:
    """Read the body of a request, whose length is said before it or before each of its pieces."""
    if headers.get("Transfer-Encoding") != "chunked":
        return file.read(int(headers.get("Content-Length", 0)))
    pieces = []
    while size := int(file.readline(), 16):
        pieces.append(file.read(size))
        file.readline()
    file.readline()
    return b"".join(pieces)


@contextmanager
def serving(service: FakeService) -> Iterator[str]:
    """Serve the fake on a local port, for code that opens connections of its own; yield its URL."""

    class FakeHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = httpx2.Request(
                self.command,
                f"{URL}{self.path}",
                headers=dict(self.headers),
                content=body_of(self.headers, self.rfile),
            )
            response = service(request)
            body = response.read()
            self.send_response(response.status_code)
            self.send_header("Content-Type", response.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  (http.server's names)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
