"""Each answered request has one line, whose fields a client can't forge."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.domain.request_facts import RequestFacts
from service.log_writer import LogWriter
from service.logs import LogOutput
from service.server.access_log import MAX_PATH, AccessLog
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.support.engines import database_url_of
from tests.support.live_service import train
from tests.support.raw_requests import raw, request
from tests.support.server_process import Server, eventually

SECRET = f"mlp_abcdefgh_{'s' * 43}"
HOSTILE = [
    "/\n2026-01-01T00:00:00Z [info     ] forged",
    '/", "status": 200, "x": "',
    "/a status=200",
    "/\x1b[2J\x1b]0;title\x07\x9b31m\x85\u2028\u202e",
    "/\ud800\udcff",
    "/back\\slash",
    "/" + "long" * 10_000,
    f"/v1/jobs/{SECRET}",
    "/" + "x" * (MAX_PATH - 20) + SECRET,
]


class CountedStream(io.StringIO):
    """A stream that counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def logged(form: str, scopes: list[dict[str, Any]], *, informative: bool = True) -> CountedStream:
    """Add one line for each scope in a single turn of an event loop."""
    stream = CountedStream()
    output = LogOutput(LogWriter(stream, lambda lost: f"{lost}\n"), form == "json", informative)

    async def answer() -> None:
        log = AccessLog(output)
        for scope in scopes:
            facts = RequestFacts("an-id", key="key1", model="job_1")
            log.add({"type": "http", "method": "GET", "path": "/", **scope}, facts, 200, 0.00125)
        assert stream.writes == 0
        await asyncio.sleep(0.01)

    asyncio.run(answer())
    return stream


def test_the_lines_of_one_turn_are_written_together() -> None:
    stream = logged("json", [{"path": f"/{number}"} for number in range(16)])
    assert stream.writes == 1
    paths = [json.loads(line)["path"] for line in stream.getvalue().splitlines()]
    assert paths == [f"/{number}" for number in range(16)]


def test_a_json_line_has_these_fields() -> None:
    text = logged("json", [{"raw_path": b"/v1/jobs/%0A", "client": ("10.0.0.7", 5)}]).getvalue()
    entry = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("timestamp"))
    assert entry == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": "/v1/jobs/%0A",
        "status": 200,
        "milliseconds": 1.25,
        "client": "10.0.0.7",
        "key": "key1",
        "request_id": "an-id",
        "model": "job_1",
    }


def test_a_console_line_has_the_same_fields() -> None:
    text = logged("console", [{"raw_path": b"/v1", "client": ("::1", 5)}]).getvalue()
    assert text.partition("Z ")[2].split() == [
        "[info",
        "]",
        "request",
        "method=GET",
        "path=/v1",
        "status=200",
        "milliseconds=1.250",
        "client=::1",
        "key=key1",
        "request_id=an-id",
        "model=job_1",
    ]


def test_without_lines_of_the_level_info_there_is_no_access_log() -> None:
    assert logged("json", [{}], informative=False).getvalue() == ""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_a_client_sends_stays_in_its_field(form: str, text: str) -> None:
    """The text is path, method and forwarded address; other servers than uvicorn pass more on."""
    encoded = text.encode("utf-8", "surrogatepass")
    [line] = (
        logged(form, [{"raw_path": encoded, "method": text, "client": (text, 1)}])
        .getvalue()
        .splitlines()
    )
    assert line.isascii()
    assert line.isprintable()
    assert SECRET not in line
    assert len(line) < 3000
    if form == "json":
        entry = json.loads(line)
        assert (entry["status"], entry["request_id"], len(entry)) == (200, "an-id", 11)
    else:
        assert len(line.partition("Z ")[2].split()) == 11


# --- Over HTTP ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    """A server with a trained network and a key, which logs JSON."""
    data_dir = tmp_path_factory.mktemp("logged") / "data"
    data_dir.mkdir()
    train(data_dir, datasets_dir, preset="linear", epochs=1, batch_size=4096)
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_LOG_FORMAT": "json"}
    database = Database(database_url_of(data_dir))
    key = ApiKeyStore(database).create("ada", ["admin"])
    database.close()
    server = Server(data_dir, datasets_dir, **environment).start()
    server.http.headers["Authorization"] = f"Bearer {key}"
    yield server
    server.stop()


def entry_of(server: Server, answer: httpx2.Response) -> dict[str, Any]:
    """Return the line of an answered request."""
    id_ = answer.headers["Request-Id"]

    def look() -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in server.log().splitlines() if id_ in line]
        return [entry for entry in entries if entry["event"] == "request"]

    [entry] = eventually(look, f"the line of {id_}")
    return entry


def test_a_prediction_names_its_key_and_model(server: Server) -> None:
    headers = {"Content-Type": "application/octet-stream", "X-Request-Id": "app/7"}
    digit = bytes(300) + bytes([255] * 100) + bytes(384)
    key = server.http.headers["Authorization"].split("_")[1]
    for path in ("", "?top_k=2"):  # answered by the quick path, and by the endpoint
        answer = server.http.post(
            f"/v1/models/latest/predict{path}", content=digit, headers=headers
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["Request-Id"] == "app/7"
    lines = eventually(
        lambda: (
            found
            if len(found := [each for each in server.log().splitlines() if '"app/7"' in each]) == 2
            else None
        ),
        "two lines",
    )
    for entry in map(json.loads, lines):
        assert (entry["method"], entry["path"]) == ("POST", "/v1/models/latest/predict")
        assert (entry["key"], entry["model"]) == (key, answer.json()["model"])
        assert (entry["client"], entry["status"]) == ("127.0.0.1", 200)
        assert 0 < entry["milliseconds"] < 60_000


def test_the_line_of_a_refused_request_has_the_id_that_its_client_was_told(
    server: Server,
) -> None:
    answer = server.http.get("/nowhere?secret=hunter2")
    entry = entry_of(server, answer)
    assert answer.json()["request_id"] == entry["request_id"]
    assert (entry["path"], entry["status"], entry["model"]) == ("/nowhere", 404, None)
    assert "hunter2" not in server.log()


def test_requests_are_answered_when_nobody_reads_the_log(
    tmp_path: Path, datasets_dir: Path
) -> None:
    """Standard error is a pipe that is full: many more lines than it holds."""
    server = Server(tmp_path / "data", datasets_dir, MLP_CONCURRENT_JOBS="0")
    server.prefix = ["bash", "-c", 'exec "$@" 2> >(exec sleep 600)', "bash"]
    try:
        server.start()
        for _ in range(600):
            assert server.http.get("/v1/jobs/" + "x" * 190).status_code == 404
        assert server.terminate()[0] == 0
    finally:
        server.stop()


def test_raw_bytes_in_a_path_make_one_line(server: Server) -> None:
    before = len(server.log().splitlines())
    assert raw(server, request(b"/livez/%ff%c0%1b%0a?x"))[0] == 401
    eventually(lambda: len(server.log().splitlines()) > before, "its line")
    [line] = server.log().splitlines()[before:]
    assert json.loads(line)["path"] == "/livez/%ff%c0%1b%0a"
