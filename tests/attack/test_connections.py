"""Slow, silent and endless clients are disconnected within ten seconds; others are served."""

import contextlib
import itertools
import json
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.campaign import Campaign
from tests.support.load import HTTPX_SECONDS, Load, Plan, post
from tests.support.server_process import Server, eventually, resident
from tests.support.slow_clients import (
    CHUNKED,
    CLIENTS,
    CLOSE,
    GET,
    POST,
    PREDICT,
    SECONDS,
    Attack,
    answer_to,
    open_connections,
)

FINE = {"200", "no client left"}
"""Results of good clients; the second occurs if the machine is so busy that all of them wait."""
QUIET = 0.05
"""Seconds below which a p99 may double because of the machine, not because of the service."""


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def good_request(target: Server) -> str:
    picture = target.http.get("/v1/datasets/mnist/test/7.png").content
    return post(PREDICT, picture, "image/png")


def good_clients(target: Server, request: str, seconds: float) -> Load:
    return Load(Plan(target.port, request, clients=24, seconds=seconds, rate=40))


def groups(campaign: Campaign) -> list[list[str]]:
    """Return all kinds as one group, or each as a group of its own in a full run."""
    return [[kind] for kind in CLIENTS] if campaign.full else [list(CLIENTS)]


def listen(target: Server) -> tuple[socket.socket, str]:
    """Open the event stream of a job that is queued; return its socket and the job."""
    job = target.submit(preset="linear")
    listener = socket.create_connection(("127.0.0.1", target.port), timeout=20)
    listener.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return listener, job


def check_stream_goes_on(target: Server, listener: socket.socket, job: str) -> None:
    """Check that the stream continues, and that a request pipelined after it is answered last."""
    listener.sendall(GET + CLOSE + b"\r\n")
    assert target.act(job, "cancel").status_code == 200
    with listener:
        heard = b"".join(iter(lambda: listener.recv(65_536), b""))
    assert heard.index(b"event: state") < heard.index(b'"cancelled"') < heard.index(b'"alive"')


@dataclass
class Outcome:
    """The effects of the attacks by kind of client; a group of kinds has the name of its first."""

    longest: dict[str, float] = field(default_factory=dict)
    """How long the server kept a connection at most, in seconds."""
    shortest: dict[str, float] = field(default_factory=dict)
    last_answers: dict[str, bytes] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)
    """The 99th percentile of good clients' latencies meanwhile, in seconds."""
    unexpected: dict[str, set[str]] = field(default_factory=dict)
    """Answers to good clients that are not as expected."""
    memory: float = 0.0
    """The server's memory at its highest, in MiB."""


def attacked(campaign: Campaign, target: Server, good_request: str) -> Outcome:
    outcome = Outcome()
    for kinds in groups(campaign):
        good = good_clients(target, good_request, SECONDS)
        attack = Attack(target.port, kinds, campaign.of(10, 1000))
        kept = attack.run()
        outcome.memory = max(outcome.memory, resident(target.pid))
        during = good.result()
        outcome.unexpected[kinds[0]] = set(during.latencies) - FINE
        outcome.slowest[kinds[0]] = during.quantile("200", 0.99)
        outcome.longest |= {kind: max(times) for kind, times in kept.items()}
        outcome.shortest |= {kind: min(times) for kind, times in kept.items()}
        outcome.last_answers |= attack.last_answers
    return outcome


def note(campaign: Campaign, outcome: Outcome, bound: float, before: float) -> None:
    worst = max(outcome.longest, key=outcome.longest.__getitem__)
    slow = max(outcome.slowest, key=outcome.slowest.__getitem__)
    within = sum(seconds <= bound for seconds in outcome.slowest.values())
    campaign.figure(
        f"the longest that one of {campaign.of(10, 1000)} connections of each kind was kept",
        target=f"{SECONDS} s",
        measured=f"{outcome.longest[worst]:.1f} s ({worst})",
        met=outcome.longest[worst] <= SECONDS,
    )
    campaign.figure(
        "p99 of good clients meanwhile",
        target=f"{1000 * bound:.0f} ms",
        measured=f"{1000 * outcome.slowest[slow]:.0f} ms ({slow}); "
        f"{within} of {len(outcome.slowest)} kinds met it",
        met=outcome.slowest[slow] <= bound,
    )
    gained = outcome.memory - before
    campaign.figure("memory gained", target="64 MB", measured=f"{gained:.0f} MB", met=gained < 64)


def test_bad_connections_are_closed_and_good_clients_do_not_notice(
    campaign: Campaign, target: Server, good_request: str
) -> None:
    quiet = good_clients(target, good_request, campaign.of(4, 12)).result()
    assert set(quiet.latencies) <= FINE
    listener, job = listen(target)
    before, base = resident(target.pid), open_connections(target.pid)
    outcome = attacked(campaign, target, good_request)
    bound = max(QUIET, 2 * quiet.quantile("200", 0.99))
    check_stream_goes_on(target, listener, job)
    eventually(lambda: open_connections(target.pid) < base, "all connections to be closed")
    note(campaign, outcome, bound, before)
    slack = campaign.of(8, 2)  # the attackers of the small version share this process
    assert max(outcome.longest.values()) <= SECONDS + slack, outcome.longest
    assert not any(outcome.unexpected.values()), outcome.unexpected
    assert max(outcome.slowest.values()) <= max(2.0, 10 * bound), outcome.slowest
    assert outcome.shortest["idle"] > HTTPX_SECONDS + 1, "its next request may be lost"
    for kind in ("half a header", "dripping headers", "dripping body", "headers without a body"):
        assert outcome.last_answers[kind].startswith(b"HTTP/1.1 408 "), kind
        assert b"request-timeout" in outcome.last_answers[kind]
    assert outcome.memory < before + 64


# --- One by one ---


@pytest.fixture
def raw(target: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (GET + CLOSE + b"X: " + b"x" * 32_000 + b"\r\n\r\n", 200, b"alive"),
        (GET + CLOSE + b"X: " + b"x" * 33_000 + b"\r\n\r\n", 431, b"headers-too-large"),
        (GET + CLOSE + b"X: 1\r\n" * 98 + b"\r\n", 200, b"alive"),
        (GET + CLOSE + b"X: 1\r\n" * 99 + b"\r\n", 431, b"headers-too-large"),
        (b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\n\r\n", 431, b"headers-too-large"),
        (b"nonsense\r\n\r\n", 400, b"bad-request"),
        (CHUNKED + b"zz\r\n\r\n", 400, b"bad-request"),
        (CHUNKED + b"1\r\nx\r\n" * 100_000, 400, b"bad-request"),
        (CHUNKED + b"1;" + b"x" * 300_000, 400, b"bad-request"),
        (CHUNKED + b"0\r\n" + b"X: 1\r\n" * 101, 431, b"headers-too-large"),
    ],
    ids=itertools.count(),
)
def test_excessive_or_malformed_requests_are_answered_with_a_problem(
    raw: socket.socket, head: bytes, status: int, code: bytes
) -> None:
    answer = answer_to(raw, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert code in answer
    if status != 200:
        assert b"content-type: application/problem+json" in answer
        assert b"x-content-type-options: nosniff" in answer
        assert b'"detail"' in answer


def test_a_few_pipelined_requests_are_answered_in_order(raw: socket.socket) -> None:
    paths = [b"/livez", b"/v1/presets", b"/problems/invalid"]
    asked = [GET.replace(b"/livez", path) + b"\r\n" for path in paths]
    answer = answer_to(raw, b"".join([*asked, GET + CLOSE + b"\r\n"]))
    heard = [answer.index(part) for part in (b'"alive"', b"mlp-relu", b"422")]
    assert heard == sorted(heard)
    assert answer.count(b"HTTP/1.1 200") == 4


def test_too_many_pipelined_requests_are_not_all_answered(raw: socket.socket) -> None:
    answer = answer_to(raw, (GET + b"\r\n") * 100)
    assert 1 <= answer.count(b"HTTP/1.1 200") < 5
    assert b"connection: close" in answer


def test_a_request_before_garbage_is_answered(raw: socket.socket) -> None:
    answer = answer_to(raw, GET + b"\r\nnonsense\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"alive" in answer


def test_a_client_that_reads_slowly_but_steadily_gets_the_whole_answer(target: Server) -> None:
    digits = bytes(range(196)) * 4 * 4000
    head = f"POST {PREDICT}?normalize=never HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(digits)}\r\n"
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    with client:
        client.settimeout(10)
        client.connect(("127.0.0.1", target.port))
        client.sendall(head.encode() + CLOSE + b"\r\n" + digits)
        began, heard = time.monotonic(), b""
        while part := client.recv(65_536):
            heard += part
            time.sleep(max(0.0, began + len(heard) / 120_000 - time.monotonic()))
    assert time.monotonic() - began > 8
    assert len(json.loads(heard.partition(b"\r\n\r\n")[2])["predictions"]) == 4000


def test_the_longest_silent_connections_are_closed_when_there_are_too_many(
    datasets_dir: Path, tmp_path: Path
) -> None:
    """No client can keep others out by opening all connections."""
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_MAX_CONNECTIONS": "40"}
    with contextlib.ExitStack() as stack:
        server = Server(tmp_path / "data", datasets_dir, **environment)
        stack.callback(server.stop)
        server.start()
        address, base = ("127.0.0.1", server.port), open_connections(server.pid)
        oldest = [stack.enter_context(socket.create_connection(address)) for _ in range(20)]
        time.sleep(0.1)  # the event loop's clock is coarse: those of one moment go in any order
        for _ in range(40):
            stack.enter_context(socket.create_connection(address))
        for _ in range(20):
            with socket.create_connection(address, timeout=10) as client:
                assert b"alive" in answer_to(client, GET + CLOSE + b"\r\n")
        assert open_connections(server.pid) < base + 60
        for silent in oldest:
            silent.settimeout(2)
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""


def test_the_oldest_stream_is_closed_when_all_connections_are_streams(
    datasets_dir: Path, tmp_path: Path
) -> None:
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_MAX_CONNECTIONS": "40"}
    with contextlib.ExitStack() as stack:
        server = Server(tmp_path / "data", datasets_dir, **environment)
        stack.callback(server.stop)
        server.start()
        listeners = []
        for _ in range(60):
            listener, _ = listen(server)
            listeners.append(stack.enter_context(listener))
            assert listener.recv(1)
        for _ in range(20):
            assert server.http.get("/livez").status_code == 200
        server.http.close()
        with pytest.raises(ConnectionResetError):
            b"".join(iter(lambda: listeners[0].recv(65_536), b""))
        assert listeners[-1].recv(1)


def test_a_body_with_an_upgrade_to_http_2_is_read_and_not_dropped(raw: socket.socket) -> None:
    head = POST + b"Upgrade: h2c\r\nConnection: Upgrade, close\r\nContent-Length: 4\r\n\r\n"
    answer = answer_to(raw, head + b"body")
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"bad-image" in answer


def test_an_upgrade_to_http_2_without_a_body_is_ignored(raw: socket.socket) -> None:
    answer = answer_to(raw, GET + b"Upgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("hosts", [b"Host: evil\r\n", b"Host: localhost\r\n"])
def test_two_host_headers_are_refused(raw: socket.socket, hosts: bytes) -> None:
    assert answer_to(raw, GET + hosts + CLOSE + b"\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 1000000000000\r\n\r\n"],
    ids=["chunked", "long"],
)
def test_a_body_that_no_endpoint_reads_is_not_received_forever(target: Server, head: bytes) -> None:
    pieces = (b"100000\r\n" + bytes(1024**2) + b"\r\n") * 200
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as client:
        client.sendall(GET + head)
        assert client.recv(1000).startswith(b"HTTP/1.1 ")
        with pytest.raises(ConnectionError):
            client.sendall(pieces)
    assert target.http.get("/livez").status_code == 200
