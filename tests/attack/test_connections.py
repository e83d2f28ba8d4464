"""A thousand clients that are slow, silent or endless are gone in ten seconds; good ones go on."""

import asyncio
import contextlib
import itertools
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.health import SWAGGER
from tests.support.load import HTTPX_SECONDS, Load, Plan, post
from tests.support.server_process import Server, eventually, resident

PREDICT = "/v1/models/latest/predict"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n".encode()
LARGE = f"GET /vendor/{SWAGGER}/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
CLOSE = b"Connection: close\r\n"
SECONDS = 10
FINE = {"200", "no client left"}
"""What good clients see; the second, when the machine is so busy that all of them wait."""
QUIET = 0.05
"""Seconds; doubling a p99 below it says more about the machine than about the service."""


def drip(start: bytes, rest: bytes = b"x", seconds: float = 1.0) -> Iterator[bytes | float]:
    """Send `start`, then `rest` again and again; a number is a pause."""
    yield start
    while True:
        yield seconds
        yield rest


def at_once(start: bytes, rest: bytes = b"", times: int = 0) -> Iterator[bytes | float]:
    yield start + rest * times
    yield 60.0


def endless(start: bytes, rest: bytes) -> Iterator[bytes | float]:
    yield start
    while True:
        yield rest
        yield 0.05


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PROBLEM_TYPES = {
    "silent": lambda: at_once(b""),
    "blank lines": lambda: drip(b"\r\n", b"\r\n"),
    "dripping address": lambda: drip(b"GET /"),
    "dripping headers": lambda: drip(GET, b"X-More: 1\r\n"),
    "half a header": lambda: at_once(GET + b"X-Long: "),
    "headers without a body": lambda: at_once(POST + b"Content-Length: 400\r\n\r\n"),
    "dripping body": lambda: drip(POST + b"Content-Length: 400\r\n\r\n"),
    "dripping chunks": lambda: drip(CHUNKED, b"1\r\nx\r\n"),
    "tiny chunks": lambda: endless(CHUNKED, b"1\r\nx\r\n" * 4000),
    "endless chunk extension": lambda: endless(CHUNKED + b"1;x=", b"x" * 16_000),
    "endless trailers": lambda: endless(CHUNKED + b"0\r\n", b"X-More: 1\r\n" * 400),
    "huge header": lambda: endless(GET + b"X-Long: ", b"x" * 16_000),
    "many headers": lambda: endless(GET, b"X-More: 1\r\n" * 400),
    "huge address": lambda: endless(b"GET /", b"x" * 16_000),
    "idle": lambda: at_once(GET + b"\r\n"),
    "body after the answer": lambda: drip(POST + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "unread answers": lambda: at_once(LARGE * 4),
    "pipelined": lambda: at_once(GET + b"\r\n", GET + b"\r\n", 3000),
    "pipelined and unread": lambda: endless(b"", (GET + b"\r\n") * 500),
    "garbage": lambda: at_once(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20),
    "half-closed": lambda: at_once(GET + b"X-Half: "),
}
NEVER_READ = {"unread answers", "pipelined and unread"}


@pytest.fixture(scope="module", autouse=True)
def _many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def humbly() -> Iterator[None]:
    """Leave the processors to the good clients, whose time is measured, if that can be undone."""
    if os.geteuid():
        yield
        return
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, usual + 5)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, usual)


class Attack:
    """`count` connections of each of some kinds, and how long the server kept each."""

    def __init__(self, port: int, kinds: list[str], count: int) -> None:
        self.port = port
        self.plan = [kind for _ in range(count) for kind in kinds]
        self.kept: dict[str, list[float]] = {kind: [] for kind in kinds}
        self.told: dict[str, bytes] = {}
        """What one of each kind was answered last."""
        self._served: set[int] = set()

    def run(self) -> dict[str, list[float]]:
        with humbly():
            asyncio.run(self._all())
        return self.kept

    async def _all(self) -> None:
        watching = asyncio.create_task(self._watch())
        tasks = []
        for number, kind in enumerate(self.plan):
            tasks.append(asyncio.create_task(self._one(kind)))
            if number % 20 == 19:
                await asyncio.sleep(0.02)  # a thousand a second
        await asyncio.gather(*tasks)
        watching.cancel()
        await asyncio.sleep(0.1)  # the sockets are closed by now

    async def _watch(self) -> None:
        while True:
            self._served = clients_of(self.port)
            await asyncio.sleep(0.2)

    async def _one(self, kind: str) -> None:
        client = socket.socket()
        if kind in NEVER_READ:  # or the kernel would take all of the answer by itself
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=client)
        started = time.monotonic()
        sending = asyncio.create_task(self._send(kind, writer))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(3 * SECONDS):
                self.told[kind] = await (self._cut(writer) if kind in NEVER_READ else _end(reader))
        self.kept[kind].append(time.monotonic() - started)
        sending.cancel()
        writer.transport.abort()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending

    async def _cut(self, writer: asyncio.StreamWriter) -> bytes:
        """Wait, without reading, until the server's end is gone.

        This end need not know: a kernel with no room for bytes may drop the reset behind them.
        """
        writer.transport.pause_reading()
        _, port = writer.get_extra_info("sockname")
        await asyncio.sleep(0.5)
        while port in self._served:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return b""

    async def _send(self, kind: str, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for part in PROBLEM_TYPES[kind]():
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                elif kind == "half-closed":
                    writer.write_eof()
                    return
                else:
                    await asyncio.sleep(part)


async def _end(reader: asyncio.StreamReader) -> bytes:
    last = b""
    while more := await reader.read(65_536):
        last = more
    return last


def clients_of(port: int) -> set[int]:
    """Return the ports of the clients that a server on `port` is connected with."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED]
    return {int(row[2].split(":")[1], 16) for row in here}


ESTABLISHED = "01"


def open_connections(pid: int) -> int:
    links = list(Path(f"/proc/{pid}/fd").iterdir())
    with contextlib.suppress(OSError):
        return sum(str(link.readlink()).startswith("socket:") for link in links)
    return len(links)


@pytest.fixture(scope="module")
def good_request(target: Server):
    picture = target.http.get("/v1/datasets/mnist/test/7.png").content
    return post(PREDICT, picture, "image/png")


def good_clients(target: Server, request: str, seconds: float):
    return Load(Plan(target.port, request, clients=24, seconds=seconds, rate=40))


def groups(campaign: Campaign):
    """All kinds at once, or one after another in full."""
    return [[kind] for kind in PROBLEM_TYPES] if campaign.full else [list(PROBLEM_TYPES)]


def listen(target: Server):
    """Open a stream of events of a job that waits."""
    job = target.submit(preset="linear")
    listener = socket.create_connection(("127.0.0.1", target.port), timeout=20)
    listener.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return listener, job


def check_still_heard(target: Server, listener: socket.socket, job: str) -> None:
    """See that the stream goes on, and that a request sent behind it is answered at its end."""
    listener.sendall(GET + CLOSE + b"\r\n")
    assert target.act(job, "cancel").status_code == 200
    with listener:
        heard = b"".join(iter(lambda: listener.recv(65_536), b""))
    assert heard.index(b"event: state") < heard.index(b'"cancelled"') < heard.index(b"alive")


def test_bad_connections_are_closed_and_good_clients_do_not_notice(
    campaign: Campaign, target: Server, good_request: str
) -> None:
    seconds = campaign.of(4, 12)
    quiet = good_clients(target, good_request, seconds).result()
    assert set(quiet.latencies) <= FINE
    listener, job = listen(target)
    before, base = resident(target.pid), open_connections(target.pid)
    longest, shortest, slowest, told, spoilt, most = {}, {}, {}, {}, {}, before
    for kinds in groups(campaign):
        good = good_clients(target, good_request, SECONDS)
        attack = Attack(target.port, kinds, campaign.of(10, 1000))
        kept = attack.run()
        most = max(most, resident(target.pid))
        during = good.result()
        spoilt |= {kinds[0]: set(during.latencies) - FINE}
        slowest[kinds[0]] = during.quantile("200", 0.99)
        longest |= {kind: max(times) for kind, times in kept.items()}
        shortest |= {kind: min(times) for kind, times in kept.items()}
        told |= attack.told
    bound = max(QUIET, 2 * quiet.quantile("200", 0.99))
    check_still_heard(target, listener, job)
    eventually(lambda: open_connections(target.pid) < base, "all connections to be closed")
    worst = max(longest, key=longest.__getitem__)
    slow = max(slowest, key=slowest.__getitem__)
    within = sum(seconds <= bound for seconds in slowest.values())
    campaign.figure(
        f"the longest that one of {campaign.of(10, 1000)} connections of each kind was kept",
        target=f"{SECONDS} s",
        measured=f"{longest[worst]:.1f} s ({worst})",
        met=longest[worst] <= SECONDS,
    )
    campaign.figure(
        "p99 of good clients meanwhile",
        target=f"{1000 * bound:.0f} ms",
        measured=f"{1000 * slowest[slow]:.0f} ms ({slow}); {within} of {len(slowest)} kinds met it",
        met=slowest[slow] <= bound,
    )
    campaign.figure(
        "memory gained", target="64 MB", measured=f"{most - before:.0f} MB", met=most < before + 64
    )
    slack = campaign.of(8, 2)  # the attackers of the small version share this process
    assert longest[worst] <= SECONDS + slack, longest
    assert not any(spoilt.values()), spoilt
    assert slowest[slow] <= max(2.0, 10 * bound), slowest
    assert shortest["idle"] > HTTPX_SECONDS + 1, "its next request may be lost"
    for kind in ("half a header", "dripping headers", "dripping body", "headers without a body"):
        assert told[kind].startswith(b"HTTP/1.1 408 "), kind
        assert b"request-timeout" in told[kind]
    assert most < before + 64


# --- One by one ---


@pytest.fixture
def raw(target: Server):
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as client:
        yield client


def answer_to(client: socket.socket, data: bytes):
    """Send `data`; return all that is answered until the end."""
    client.sendall(data)
    return b"".join(iter(lambda: client.recv(65_536), b""))


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
def test_what_is_too_much_or_no_http_is_answered_with_a_problem(
    raw: socket.socket, head: bytes, status: int, code: bytes
) -> None:
    answer = answer_to(raw, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert code in answer
    if status != 200:
        assert b"content-type: application/problem+json" in answer
        assert b"x-content-type-options: nosniff" in answer
        assert b'"detail"' in answer


def test_requests_sent_together_are_answered_in_order_up_to_a_number(raw: socket.socket) -> None:
    paths = [b"/livez", b"/v1/presets", b"/problems/invalid"]
    asked = [GET.replace(b"/livez", path) + b"\r\n" for path in paths]
    answer = answer_to(raw, b"".join([*asked, GET + CLOSE + b"\r\n"]))
    heard = [answer.index(part) for part in (b"alive", b"mlp-relu", b"422")]
    assert heard == sorted(heard)
    assert answer.count(b"HTTP/1.1 200") == 4


def test_more_requests_sent_together_are_not_all_answered(raw: socket.socket) -> None:
    answer = answer_to(raw, (GET + b"\r\n") * 100)
    assert 1 <= answer.count(b"HTTP/1.1 200") < 5
    assert b"connection: close" in answer


def test_what_was_asked_before_garbage_is_answered(raw: socket.socket) -> None:
    answer = answer_to(raw, GET + b"\r\nnonsense\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"alive" in answer


def test_who_reads_slowly_but_steadily_is_answered_to_the_end(target: Server) -> None:
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


def test_the_longest_silent_makes_room_when_there_are_too_many(
    datasets_dir: Path, tmp_path: Path
) -> None:
    """Nobody can lock others out by taking all connections."""
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_MAX_CONNECTIONS": "40"}
    with contextlib.ExitStack() as stack:
        server = Server(tmp_path / "data", datasets_dir, **environment)
        stack.callback(server.stop)
        server.start()
        address, base = ("127.0.0.1", server.port), open_connections(server.pid)
        silent = [stack.enter_context(socket.create_connection(address)) for _ in range(60)]
        for _ in range(20):
            with socket.create_connection(address, timeout=10) as client:
                assert b"alive" in answer_to(client, GET + CLOSE + b"\r\n")
        assert open_connections(server.pid) < base + 60
        silent[0].settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert silent[0].recv(1) == b""


def test_streams_make_room_when_there_is_nobody_else(datasets_dir: Path, tmp_path: Path) -> None:
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


def test_a_body_behind_a_wish_for_http_2_is_refused_not_dropped(raw: socket.socket) -> None:
    head = POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\n"
    answer = answer_to(raw, head + b"body")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Upgrade" in answer


def test_a_wish_for_http_2_without_a_body_is_ignored(raw: socket.socket) -> None:
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
def test_a_body_that_nobody_asked_for_is_not_read_for_ever(target: Server, head: bytes) -> None:
    pieces = (b"100000\r\n" + bytes(1024**2) + b"\r\n") * 200
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as client:
        client.sendall(GET + head)
        assert client.recv(1000).startswith(b"HTTP/1.1 ")
        with pytest.raises(ConnectionError):
            client.sendall(pieces)
    assert target.http.get("/livez").status_code == 200
