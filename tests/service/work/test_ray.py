"""What Ray is asked and told, and that none of its answers can be more than an OSError."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.work import ray
from service.work.fleet import FleetHost
from service.work.ray import HostCommand, RayFleet, token_reader

TOKEN = "a-secret-of-more-than-thirty-two-letters"
COMMAND = HostCommand("/opt/mlp/bin/mlp-service work", 4, 60)
ACTS: dict[str, Callable[[RayFleet], object]] = {
    "hosts": RayFleet.hosts,
    "start": lambda fleet: fleet.start(1),
    "forget": lambda fleet: fleet.forget("mlp-1a2b-1-0a"),
}
TRACEBACK = 'Traceback (most recent call last):\n  File "job_agent.py"\n'


class FakeRay:
    """Answers as Ray's dashboard does, unless a test says otherwise."""

    def __init__(self) -> None:
        self.reset()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_request(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                auth = self.headers.get("Authorization")
                fake.requests.append((self.command, self.path, auth, body))
                fake.send(self, *(fake.answer or fake.reply(self.command, self.path, body)))

            do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reset(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, str | None, Any]] = []
        """Method, path, authorization and body of each request."""
        self.answer: tuple[int, bytes] | None = None
        """What is answered to every request instead."""
        self.seconds_between_bytes = 0.0
        self.bytes_to_send: int | None = None
        """After so many bytes of the body the connection is cut."""

    def reply(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        name = path.removeprefix("/api/jobs/")
        if method == "GET":
            return 200, json.dumps(list(self.jobs.values())).encode()
        if method == "POST":
            name = body["submission_id"]
            self.add(name, "PENDING")
            return 200, json.dumps({"submission_id": name}).encode()
        if name not in self.jobs:
            return 404, f"Job {name} does not exist".encode()
        if self.jobs[name]["status"] in ("PENDING", "RUNNING"):
            return 500, f"{TRACEBACK}it is in a non-terminal state".encode()
        del self.jobs[name]
        return 200, b'{"deleted": true}'

    def add(self, name: str, status: str, message: str | None = None) -> None:
        self.jobs[name] = {"submission_id": name, "status": status, "message": message}

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        if 300 <= status < 400:
            handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for at, byte in enumerate(body):
            if at == self.bytes_to_send:
                handler.connection.close()
                return
            if self.seconds_between_bytes:
                time.sleep(self.seconds_between_bytes)
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return


@pytest.fixture(scope="module")
def server() -> Iterator[FakeRay]:
    fake = FakeRay()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


@pytest.fixture
def fake_ray(server: FakeRay) -> FakeRay:
    """The server, which no test before has changed: a new client takes a fifth of a second."""
    server.reset()
    return server


@pytest.fixture(scope="module")
def fleet(server: FakeRay) -> RayFleet:
    return RayFleet(server.url, lambda: TOKEN, lambda: "1a2b", COMMAND)


def test_a_host_is_a_job_of_ray_that_takes_a_core_for_each_slot(
    fake_ray: FakeRay, fleet: RayFleet
) -> None:
    fleet.start(3)
    [(method, path, authorization, body)] = fake_ray.requests
    assert (method, path, authorization) == ("POST", "/api/jobs/", f"Bearer {TOKEN}")
    assert set(body) == {"submission_id", "entrypoint", "entrypoint_num_cpus"}
    assert re.fullmatch(r"mlp-1a2b-3-[0-9a-f]{8}", body["submission_id"])
    assert body["entrypoint_num_cpus"] == 4
    last = body["entrypoint"].split("; ")[-1]
    assert last == (
        "exec /opt/mlp/bin/mlp-service work --slots 4 --until-idle 60 "
        '--data-dir "$place/mlp-1a2b-3"'
    )


def test_ray_keeps_memory_for_a_host_that_is_told_how_much_it_may_take(fake_ray: FakeRay) -> None:
    command = HostCommand("sh -c 'echo \"$MLP_JOB_MEMORY $MLP_DATASETS_DIR\"'", 2, 60, 2**31)
    RayFleet(fake_ray.url, lambda: None, lambda: "1a2b", command).start(1)
    [(_, _, _, body)] = fake_ray.requests
    assert body["entrypoint_memory"] == 2**31
    assert run(body["entrypoint"], HOME="/home/mlp") == f"{2**31} /home/mlp/.mlp-service/datasets"


def run(entrypoint: str, **environment: str) -> str:
    return subprocess.check_output(
        ["/bin/sh", "-c", entrypoint], env=environment, text=True
    ).strip()


def test_nothing_secret_is_part_of_the_job(
    fake_ray: FakeRay, fleet: RayFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_DATABASE_URL", "postgresql://mlp:pass-word@db/mlp")
    fleet.start(1)
    [(_, _, _, body)] = fake_ray.requests
    assert "pass-word" not in json.dumps(body)
    assert TOKEN not in json.dumps(body)


def test_the_shell_of_a_node_finds_a_place_of_its_own_for_each_host(
    fake_ray: FakeRay, tmp_path: Path
) -> None:
    command = HostCommand('sh -c \'echo "$MLP_DATASETS_DIR" "$@"\'', 2, 1.5)
    RayFleet(fake_ray.url, lambda: None, lambda: "1a2b", command).start(7)
    [(_, _, _, body)] = fake_ray.requests

    def printed(**environment: str) -> str:
        return run(body["entrypoint"], **environment)

    home = str(tmp_path)
    assert printed(HOME=home) == (
        f"{home}/.mlp-service/datasets 2 --until-idle 1.5 --data-dir {home}/.mlp-service/mlp-1a2b-7"
    )
    given = {"MLP_DATA_DIR": "/srv/a b", "MLP_DATASETS_DIR": "/srv/sets"}
    assert printed(**given) == "/srv/sets 2 --until-idle 1.5 --data-dir /srv/a b/mlp-1a2b-7"


def test_no_name_is_used_twice(fake_ray: FakeRay, fleet: RayFleet) -> None:
    """Ray keeps the name of a job for a while after it has ended and been deleted."""
    fleet.start(1)
    [first] = fake_ray.jobs
    fake_ray.jobs[first]["status"] = "SUCCEEDED"
    fleet.forget(first)
    fleet.start(1)
    [second] = fake_ray.jobs
    assert first != second
    places = [body["entrypoint"].split()[-1] for _, _, _, body in fake_ray.requests if body]
    assert places == ['"$place/mlp-1a2b-1"'] * 2


def test_hosts_are_the_jobs_of_our_name_as_ray_sees_them(
    fake_ray: FakeRay, fleet: RayFleet
) -> None:
    for number, status in enumerate(("PENDING", "RUNNING", "SUCCEEDED", "STOPPED"), start=1):
        fake_ray.add(f"mlp-1a2b-{number}-0a", status)
    fake_ray.add("mlp-1a2b-5-0a", "FAILED", "exit code 127,\n last logs: \n not found\n")
    fake_ray.add("mlp-1a2b-5-0b", "FAILED")
    others = ("raysubmit_xyz", "mlp-1a2b-", "mlp-1a2b-1", "mlp-1a2c-1-0a", "other-mlp-1a2b-1-0a")
    for name in others:
        fake_ray.add(name, "RUNNING")
    fake_ray.jobs["driver"] = {"type": "DRIVER", "submission_id": None, "status": "RUNNING"}
    assert fleet.hosts() == {
        "mlp-1a2b-1-0a": FleetHost(1, True),
        "mlp-1a2b-2-0a": FleetHost(2, True),
        "mlp-1a2b-3-0a": FleetHost(3, False),
        "mlp-1a2b-4-0a": FleetHost(4, False),
        "mlp-1a2b-5-0a": FleetHost(5, False, "exit code 127, last logs: not found"),
        "mlp-1a2b-5-0b": FleetHost(5, False, "FAILED"),
    }


@pytest.mark.parametrize(
    ("seconds", "failure"), [(59.4, "it ended after 59 s, before it could be idle"), (61, "")]
)
def test_a_host_that_ends_before_it_could_have_been_idle_was_sent_away(
    fake_ray: FakeRay, fleet: RayFleet, seconds: float, failure: str
) -> None:
    name = "mlp-1a2b-1-0a"
    fake_ray.add(name, "SUCCEEDED", "Job finished successfully.")
    fake_ray.jobs[name] |= {"start_time": 5000, "end_time": 5000 + int(1000 * seconds)}
    assert fleet.hosts() == {name: FleetHost(1, False, failure)}
    fake_ray.jobs[name]["status"] = "STOPPED"
    assert fleet.hosts() == {name: FleetHost(1, False)}, "somebody has stopped it by Ray"


def test_what_ray_keeps_about_an_ended_host_is_deleted(fake_ray: FakeRay, fleet: RayFleet) -> None:
    fake_ray.add("mlp-1a2b-1", "SUCCEEDED")
    fleet.forget("mlp-1a2b-1")
    assert fake_ray.jobs == {}
    fleet.forget("mlp-1a2b-1")  # somebody else was faster
    fake_ray.add("mlp-1a2b-2", "RUNNING")
    with pytest.raises(OSError, match=r"answered with 500: .*non-terminal state"):
        fleet.forget("mlp-1a2b-2")


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "401: it demands a token; set MLP_RAY_TOKEN"),
        (403, "403: it does not accept the token in MLP_RAY_TOKEN"),
        (301, "301: that is the end"),
        (400, "400: that is the end"),
        (405, "405: that is the end"),
        (429, "429: that is the end"),
        (500, "500: that is the end"),
        (502, "502: that is the end"),
        (503, "503: that is the end"),
        (504, "504: that is the end"),
    ],
)
def test_every_refusal_is_an_oserror_that_says_what_to_do_and_hides_the_token(
    fake_ray: FakeRay,
    fleet: RayFleet,
    act: Callable[[RayFleet], object],
    status: int,
    words: str,
) -> None:
    said = f"{TRACEBACK * 50} {TOKEN} that is the end\n"
    fake_ray.answer = (status, said.encode())
    with pytest.raises(OSError, match="answered with") as refused:
        act(fleet)
    text = str(refused.value)
    assert text.startswith(f"Ray at {fake_ray.url} answered with {status}: ")
    assert text.endswith(words.partition(": ")[2])
    assert TOKEN not in text
    assert len(text) < 400
    assert len(fake_ray.requests) == 1, "nothing follows a redirect"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"7",
        b"[7]",
        b"[{}]",
        b'[{"submission_id": "mlp-1a2b-1-0a"}]',
        b"\xff",
    ],
)
def test_an_answer_that_is_no_list_of_jobs_is_an_oserror(
    fake_ray: FakeRay, fleet: RayFleet, body: bytes
) -> None:
    fake_ray.answer = (200, body)
    with pytest.raises(OSError, match="did not answer with a list of its jobs; MLP_RAY_URL"):
        fleet.hosts()


def test_an_answer_that_is_cut_off_is_an_oserror(fake_ray: FakeRay, fleet: RayFleet) -> None:
    fake_ray.add("mlp-1a2b-1", "RUNNING")
    fake_ray.bytes_to_send = 10
    with pytest.raises(OSError, match="can't be reached: "):
        fleet.hosts()


def test_an_answer_that_never_ends_is_given_up(
    fake_ray: FakeRay, fleet: RayFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, so that no single read takes too long."""
    monkeypatch.setattr(ray, "MOST_SECONDS", 0.3)
    fake_ray.answer, fake_ray.seconds_between_bytes = (200, b" " * 100), 0.05
    begun = time.monotonic()
    with pytest.raises(OSError, match="too long or too slow"):
        fleet.hosts()
    assert time.monotonic() - begun < 2


def test_an_answer_that_is_too_long_is_given_up(
    fake_ray: FakeRay, fleet: RayFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "MOST_BYTES", 1000)
    fake_ray.answer = (200, b" " * 1001)
    with pytest.raises(OSError, match="too long or too slow"):
        fleet.hosts()


def test_a_server_that_does_not_answer_is_given_up(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "TIMEOUT", httpx2.Timeout(0.2))
    fake_ray.answer, fake_ray.seconds_between_bytes = (200, b"[]"), 1
    with pytest.raises(OSError, match="can't be reached: "):
        RayFleet(fake_ray.url, lambda: None, lambda: "1", COMMAND).hosts()


def test_nobody_who_listens_is_an_oserror() -> None:
    with pytest.raises(OSError, match=r"^Ray at http://127.0.0.1:1 can't be reached: \S"):
        RayFleet("http://127.0.0.1:1", lambda: TOKEN, lambda: "1", COMMAND).hosts()


def test_no_token_is_sent_where_there_is_none(fake_ray: FakeRay) -> None:
    RayFleet(fake_ray.url, lambda: None, lambda: "1", COMMAND).hosts()
    assert fake_ray.requests[0][2] is None


def test_a_token_in_a_file_may_be_renewed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    read = token_reader(None, file)
    with pytest.raises(FileNotFoundError):
        read()
    file.write_text(f"{TOKEN}\n")
    assert read() == TOKEN
    file.write_text("another")
    assert read() == "another"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OSError, match="is no text"):
        read()
    assert token_reader("given", file)() == "given"
    assert token_reader(None, None)() is None


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ümlaut"])
def test_a_token_that_no_header_could_carry_is_an_oserror_that_does_not_show_it(token: str) -> None:
    with pytest.raises(OSError, match="the token for Ray contains") as refused:
        token_reader(token, None)()
    assert token not in str(refused.value)
