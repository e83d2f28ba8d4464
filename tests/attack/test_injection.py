"""Text from clients never becomes a path, markup or a log line of its own, and secrets are not
revealed.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from service.domain.errors import StoreBroken
from service.store.sql.migrate import migrate
from tests.support.campaign import ROOT, Campaign
from tests.support.live_service import train
from tests.support.passive_answers import MARKUP, check_passive, check_picture
from tests.support.path_traversal import (
    ADDRESSES,
    FOUND,
    in_bodies,
    opened_outside,
    outside,
    traced,
    traversals,
)
from tests.support.raw_requests import raw, request
from tests.support.server_process import Server, eventually
from tests.support.stream_listener import StreamListener

CANARY = "what-the-canary-says"
SECRET = "s3cret-41bb"

# --- Paths ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Path:
    """A data directory with trained jobs, and a canary file next to it."""
    data_dir = tmp_path_factory.mktemp("injected") / "data"
    data_dir.mkdir()
    (data_dir.parent / "canary.txt").write_text(CANARY)
    for name in MARKUP[:2]:
        train(data_dir, datasets_dir, name=name, preset="linear", epochs=1, batch_size=4096)
    return data_dir


@pytest.fixture
def server(data_dir: Path, datasets_dir: Path) -> Iterator[Server]:
    server = Server(data_dir, datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    yield server
    server.stop()


def check_traversals(server: Server, corpus: list[bytes], every: int) -> int:
    """Send each string to every `every`th place; return the number of answers that were checked."""
    turn = count = 0
    for text in corpus:
        for method, address in ADDRESSES:
            turn += 1
            if turn % every == 0:
                path = address.encode().replace(b"{}", text.replace(b" ", b"+"))
                status, answer = raw(server, request(path, method))
                found = status == 200 and address in FOUND
                assert found or 400 <= status < 500, (method, path, answer[:300])
                assert CANARY.encode() not in answer, path
                count += 1
        turn += 1
        if turn % every == 0:
            for status, answer in in_bodies(server, text):
                assert status in (200, 201) or 400 <= status < 500, (text, answer[:300])
                assert CANARY.encode() not in answer, text
                count += 1
    return count


def test_no_text_leads_out_of_the_data_directory(
    server: Server, datasets_dir: Path, tmp_path: Path, campaign: Campaign
) -> None:
    corpus = traversals()
    assert len(set(corpus)) >= 500
    before = outside(server)
    small = corpus[:: len(corpus) // 150]
    if campaign.full and shutil.which("strace"):
        check_traversals(server, small, 1)  # what is read once, by the first of its kind
        log = tmp_path / "opened"
        with traced(server, log):
            count = check_traversals(server, corpus, 1)
        astray = opened_outside(server, datasets_dir, log)
    else:
        count, astray = check_traversals(server, small, 7), []
    new = outside(server) - before
    campaign.figure(
        "ways out of the data directory",
        target="0 escapes",
        measured=f"{len(astray) + len(new)} in {count} requests, "
        f"{len(set(corpus))} strings in every place",
        met=not astray and not new,
    )
    assert not astray, astray[:10]
    assert not new
    assert "Traceback" not in server.log()


# --- Markup ---------------------------------------------------------------------------------------


def test_names_are_drawn_as_text_and_nothing_else(server: Server, campaign: Campaign) -> None:
    get = server.http.get
    ids = [server.submit(name=text, tags=[text], metadata={"note": text}) for text in MARKUP]
    with campaign.cases("markup that came alive in a picture") as case:
        for id_, name in zip(ids, MARKUP, strict=True):
            picture = get(f"/v1/jobs/{id_}/curves.svg")
            with case():
                check_passive(dict(picture.headers), "image/svg+xml")
                check_picture(picture.content, (name,))
            job = get(f"/v1/jobs/{id_}")
            check_passive(dict(job.headers), "application/json")
            assert job.json()["spec"]["name"] == name
    trained = [job["id"] for job in get("/v1/jobs?state=succeeded").json()["data"]]
    together = get(f"/v1/curves.svg?jobs={','.join(trained)}")
    check_picture(together.content, ("<script>al", "><img"))
    weights = get("/v1/models/latest/layers/1/weights.svg")
    check_passive(dict(weights.headers), "image/svg+xml")
    check_picture(weights.content, ("Digit 0",))


ABOUT_A_JOB = {
    "/v1/jobs?fields=summary&q=%3C": "application/json",
    "/v1/models/{}/evaluation": "application/json",
    "/v1/models/{}/evaluation/confusion.csv": "text/csv",
    "/v1/models/{}/evaluation/confusion.svg": "image/svg+xml",
    "/v1/models/{}/evaluation/reliability.svg": "image/svg+xml",
    "/v1/models/{}/evaluation/predictions.csv": "text/csv",
    "/v1/models/{}/evaluation/misread.json": "application/json",
    "/v1/models/{}/evaluation/misread.json?unlike={}@1": "application/json",
    "/v1/models/{}/snapshots": "application/json",
    "/v1/models/{}/film.webp": "image/webp",
    "/v1/models/{}@1/weights.json": "application/json",
    "/v1/models/{}/layers/1/weights.npy": "application/x-npy",
    "/v1/models/{}/layers/1/weights.svg?minus=start": "image/svg+xml",
    "/v1/epochs?jobs={}": "application/json",
    "/v1/system": "application/json",
}


def test_names_are_in_no_header_and_in_no_other_form(server: Server) -> None:
    """A job is renamed to each text; whatever is asked about it stays passive."""
    http = server.http
    job = http.get("/v1/jobs?state=succeeded").json()["data"][0]
    addresses = {address.replace("{}", job["id"]): it for address, it in ABOUT_A_JOB.items()}
    for text in MARKUP:
        labels = {"name": text, "tags": [text], "metadata": {"note": text}}
        renamed = http.patch(job["links"]["self"], json=labels)
        check_passive(dict(renamed.headers), "application/json")
        assert renamed.json()["spec"]["name"] == text
        for address, media_type in addresses.items():
            answer = http.get(address)
            assert answer.status_code == 200, answer.text
            check_passive(dict(answer.headers), media_type)
            assert text not in str(answer.headers)
            if media_type == "image/svg+xml":
                check_picture(answer.content, ())


def test_names_and_ids_make_no_events_of_their_own(server: Server) -> None:
    heard = StreamListener(server.http)
    heard.hello()
    ids = {text: server.submit(name=text) for text in MARKUP}
    for text, id_ in ids.items():
        assert heard.wait_for("job", id=id_)["spec"]["name"] == text
    before = len(heard.messages)
    for forged in ("a\n\nevent: job\ndata: {}\n\n", "a\rid: 5", "a\u2028b", "\x00"):
        refused = server.http.post("/v1/jobs", json={"name": forged})
        assert refused.json()["errors"][0]["pointer"] == "#/name"
        acted = {"action": "delete", "jobs": [forged]}
        found = server.http.post("/v1/jobs/actions", json=acted).json()["data"]
        assert [it["id"] for it in found] == [forged]
    last = server.submit(name="the last")
    heard.wait_for("job", id=last)
    news = [it for it in heard.messages[before:] if it.event == "job"]
    assert {json.loads(it.data)["id"] for it in news} == {last}


def test_problems_and_pages_run_no_injected_script(server: Server) -> None:
    for text in MARKUP:
        for path in (f"/v1/jobs/{quote(text, '')}", f"/{quote(text)}", f"/docs?x={quote(text)}"):
            answer = server.http.get(path, headers={"Accept": "text/html"})
            if path.startswith("/docs"):
                assert text not in answer.text
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "connect-src 'self'" in policy
            else:
                check_passive(dict(answer.headers), "application/problem+json")


# --- Logs -----------------------------------------------------------------------------------------

FORGED = {
    "console": "2026-01-01T00:00:00Z [info     ] forged",
    "json": '{"event": "forged", "level": "info"}',
}
BREAKS = (
    "\n",
    "\r\n",
    "\r",
    "\x1b[2J\x1b[31m",
    "\x1b]0;title\x07",
    "\x85",
    "\u2028",
    "\x9b31m",
    "\x7f",
)


def log_attacks(form: str) -> Iterator[bytes]:
    for mark in BREAKS:
        text = f"x{mark}{FORGED[form]}"
        quoted, bare = quote(text, "").encode(), text.replace(" ", "+").encode()
        yield request(b"/v1/jobs/" + quoted)
        yield request(b"/v1/jobs?after=" + quoted)
        yield request(b"/v1/jobs?q=" + quoted)
        yield request(b"/v1/models/latest/evaluation/misread.json?unlike=" + quoted)
        yield request(b"/v1/models/latest@" + quoted + b"/snapshots")
        yield request(b"/nowhere/" + quoted, "DELETE")
        yield request(b"/v1/jobs?after=" + bare)
        yield request(b"/" + bare)
        yield request(b"/livez", host=text.encode())
        yield request(b"/livez", User_Agent=text.encode(), Referer=text.encode())
        yield request(b"/livez", Idempotency_Key=text.encode(), X_Forwarded_For=text.encode())
    yield request(b"/livez?\xff\xfe\xc0\xaf")
    yield request(b"/livez/\xff\xfe\xc0\xaf")
    yield request(b"/livez", "G\x1bET")


@pytest.mark.parametrize("form", FORGED)
def test_each_request_is_one_log_line_without_control_characters(
    data_dir: Path, datasets_dir: Path, form: str, campaign: Campaign
) -> None:
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_LOG_FORMAT": form}
    server = Server(data_dir, datasets_dir, **environment).start()
    try:
        start = (server.data_dir / "server.log").stat().st_size
        before = raw(server, request(b"/livez"))[0]
        attacks = list(log_attacks(form))
        statuses = [raw(server, attack)[0] for attack in attacks]
    finally:
        server.stop()
    lines = (server.data_dir / "server.log").read_bytes()[start:].split(b"\n")
    answered = rb'\{"event": "request", |\S+ \[info     \] request '
    lines = [line for line in lines if b"/readyz" not in line]  # from the server's start
    written = [line for line in lines if re.match(answered, line) or b"Invalid HTTP" in line]
    forged = [line for line in lines if re.match(rb'2026-01-01T|\{"event": "forged"', line)]
    rough = [line for line in lines if re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]", line)]
    campaign.figure(
        f"forged or unprintable log lines ({form})",
        target="0, and a line for each request",
        measured=f"{len(forged) + len(rough)}, {len(written)} lines for {len(attacks) + 1}",
        met=(forged, rough, len(written)) == ([], [], len(attacks) + 1),
    )
    assert before == 200
    assert all(status < 500 for status in statuses)
    assert forged == []
    assert rough == []
    assert len(written) == len(attacks) + 1
    assert b"Traceback" not in b"".join(lines)


@pytest.mark.parametrize("form", FORGED)
def test_each_logged_text_stays_on_one_line(form: str) -> None:
    script = (
        "import structlog, sys; from service import logs; logs.configure('info', sys.argv[1]);"
        "structlog.get_logger().error('crashed', path=sys.argv[2]);"
        "import logging; logging.getLogger('x').warning('from %s', sys.argv[2])"
    )
    text = f"a\n{FORGED[form]}\x1b[31m"
    command = [sys.executable, "-c", script, form, text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert len(done.stderr.splitlines()) == 2
    assert "\x1b" not in done.stderr


def test_a_traceback_in_the_log_has_no_control_characters() -> None:
    script = (
        "import structlog; from service import logs; logs.configure('info', 'console')\n"
        "try: raise ValueError('\\x1b[31m')\n"
        "except ValueError: structlog.get_logger().exception('crashed')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "ValueError: \\x1b[31m" in done.stderr
    assert "\x1b" not in done.stderr


# --- Secrets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secrets:
    """A secret for each place where secrets may enter."""

    environment: dict[str, str]
    headers: dict[str, str]


SECRETS = Secrets(
    {
        "MLP_API_KEY": f"{SECRET}-key",
        "AWS_SECRET_ACCESS_KEY": f"{SECRET}-aws",
        "DATABASE_PASSWORD": f"{SECRET}-database",
    },
    {
        "Authorization": f"Bearer {SECRET}-bearer",
        "Cookie": f"session={SECRET}-cookie",
        "X-Api-Key": f"{SECRET}-header",
    },
)


def command_lines() -> bytes:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


TAKE_JSON = (
    "/v1/jobs",
    "/v1/jobs/preview",
    "/v1/jobs/actions",
    "/v1/session",
    "/v1/models/latest/predict",
)


def use_with_secrets(server: Server) -> list[str]:
    """Send secrets in headers and in bodies that are refused; return all answers."""
    server.http.headers.update(SECRETS.headers)
    server.http.cookies.clear()
    send = server.http.request
    refused: list[dict[str, Any]] = [
        {"json": {"learning_rate": f"{SECRET}-body"}},
        {"json": {f"{SECRET[:6]}": 1, "preset": f"{SECRET}-body"}},
        {"content": f"{{{SECRET}-body".encode(), "headers": {"Content-Type": "application/json"}},
        {"content": f"{SECRET}-body".encode(), "headers": {"Content-Type": "text/plain"}},
        {"json": {"key": f"{SECRET}-body"}},
    ]
    answers = [send("POST", route, **body) for route in TAKE_JSON for body in refused]
    paths = ("/metrics", "/readyz", "/openapi.json", "/docs", "/v1/jobs", "/v1/jobs/nobody", "/")
    answers += [send("GET", path) for path in paths]
    assert all(answer.status_code < 500 for answer in answers)
    return [answer.text + str(answer.headers) for answer in answers]


def test_secrets_are_revealed_nowhere(
    data_dir: Path, datasets_dir: Path, campaign: Campaign
) -> None:
    environment = {**SECRETS.environment, "MLP_CONCURRENT_JOBS": "1", "MLP_LOG_LEVEL": "debug"}
    server = Server(data_dir, datasets_dir, **environment).start()
    try:
        job = server.submit(preset="mlp-relu", epochs=50)
        eventually(server.workers, "a worker")
        answers = use_with_secrets(server)
        running = command_lines()
        server.act(job, "cancel")
        server.wait(job, "cancelled")
    finally:
        server.stop()
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    found = [str(path) for path in files if SECRET.encode() in path.read_bytes()]
    found += [answer for answer in answers if SECRET in answer]
    found += ["a command line"] * (SECRET.encode() in running)
    measured = f"{len(found)} in {len(files)} files, {len(answers)} answers, all command lines"
    campaign.figure("secrets found", target="0", measured=measured, met=not found)
    assert "worker_started" in server.log()
    assert not found, found[:3]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+nothing://me:{SECRET}@127.0.0.1:1/jobs",
        f"sqlite://me:{SECRET}@host/jobs",
        f"nonsense {SECRET}",
    ],
)
def test_an_unusable_database_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(StoreBroken, match="MLP_DATABASE_URL") as refused:
        migrate(url)
    assert SECRET not in str(refused.value)
