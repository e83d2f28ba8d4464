"""Many clients in a process of their own, so that they do not take the server's time.

`python -m tests.support.load` reads a plan as JSON from standard input and writes what the clients
saw to standard output. It uses raw sockets: a client library would be busier than the server.
"""

import asyncio
import base64
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HTTPX_SECONDS = 5
"""How long httpx keeps an idle connection."""


@dataclass(frozen=True)
class Plan:
    port: int
    request: str
    """One request, headers and body, in base64."""
    clients: int
    seconds: float
    rate: float = 0.0
    """Requests per second, sent whether or not the previous ones are answered. With 0, each client
    sends its next request when it has an answer."""
    patient: float = 1.0
    """The fraction of clients that wait as long as Retry-After says; others retry immediately."""
    core: int | None = None


@dataclass(frozen=True)
class Seen:
    """What the clients saw: latencies in seconds, by status."""

    seconds: float
    latencies: dict[str, list[float]] = field(default_factory=dict)
    hasty: list[float] = field(default_factory=list)
    """Latencies of refusals to clients that had been asked to wait and did not."""
    late: list[float] = field(default_factory=list)
    """Latencies of answers that came after the end of the measurement."""

    def rate(self, status: str) -> float:
        return len(self.latencies.get(status, ())) / self.seconds

    def quantile(self, status: str, part: float) -> float:
        return quantile(self.latencies.get(status, ()), part)


def quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def post(path: str, body: bytes, media_type: str, key: str | None = None) -> str:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
        f"{authorization}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return base64.b64encode(head.encode() + body).decode()


def get(path: str) -> str:
    return base64.b64encode(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).decode()


class Load:
    """A running process of clients, on `core` if the plan names one."""

    def __init__(self, plan: Plan) -> None:
        pin = [] if plan.core is None else ["taskset", "-c", str(plan.core)]
        self._process = subprocess.Popen(
            [*pin, sys.executable, "-m", "tests.support.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(plan)).encode())
        self._process.stdin.close()

    def result(self) -> Seen:
        assert self._process.stdout
        with self._process.stdout as out:
            text = out.read()
        assert self._process.wait() == 0
        return Seen(**json.loads(text))


# --- Inside the process ---


class Client:
    """One keep-alive connection, closed after five idle seconds, and opened again if lost."""

    def __init__(self, plan: Plan, patient: bool) -> None:
        self.plan, self.patient = plan, patient
        self.request = base64.b64decode(plan.request)
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.may_ask = self.answered = 0.0

    async def ask(self) -> tuple[str, float]:
        """Send a request; return the status, or `lost`, and the seconds in Retry-After."""
        try:
            if time.perf_counter() > self.answered + HTTPX_SECONDS:
                self.close()
            if self.reader is None or self.writer is None:
                self.reader, self.writer = await asyncio.open_connection(
                    "127.0.0.1", self.plan.port
                )
            self.writer.write(self.request)
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await self.reader.readexactly(int(fields[b"content-length"]))
            self.answered = time.perf_counter()
            if fields.get(b"connection") == b"close":
                self.close()
            return head[9:12].decode(), float(fields.get(b"retry-after", 0))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return "lost", 0.1

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Crowd:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.hasty: list[float] = []
        self.late: list[float] = []
        patient = round(plan.clients * plan.patient)
        self.clients = [Client(plan, number < patient) for number in range(plan.clients)]
        self.end = 0.0

    async def run(self) -> dict[str, Any]:
        self.end = time.perf_counter() + self.plan.seconds
        await (self._open_loop() if self.plan.rate else self._closed_loop())
        for client in self.clients:
            client.close()
        return asdict(Seen(self.plan.seconds, dict(self.latencies), self.hasty, self.late))

    async def _closed_loop(self) -> None:
        async def live(client: Client) -> None:
            await asyncio.sleep(random.random() * min(1, self.plan.clients / 500))
            while time.perf_counter() < self.end:
                now = time.perf_counter()
                if wait := await self._one(client, now):
                    await asyncio.sleep(wait * (1 + random.random() / 5) if client.patient else 0)

        await asyncio.gather(*map(live, self.clients))

    async def _open_loop(self) -> None:
        """Send requests at the planned times, each from a client that waits for no answer."""
        idle, tasks = list(self.clients), set()
        random.shuffle(idle)
        due = time.perf_counter()

        async def once(client: Client, planned: float) -> None:
            wait = await self._one(client, planned)
            if wait and client.patient:
                await asyncio.sleep(max(0.0, min(wait, self.end - time.perf_counter())))
            idle.insert(0, client)

        while (due := due + random.expovariate(self.plan.rate)) < self.end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if idle:
                tasks.add(task := asyncio.create_task(once(idle.pop(), due)))
                task.add_done_callback(tasks.discard)
            else:
                self.latencies["no client left"].append(0)
        await asyncio.gather(*tasks)

    async def _one(self, client: Client, planned: float) -> float:
        hasty = time.perf_counter() < client.may_ask
        status, wait = await client.ask()
        now = time.perf_counter()
        seen = self.hasty if hasty and status == "503" else self.latencies[status]
        (seen if now <= self.end else self.late).append(now - planned)
        client.may_ask = now + wait
        return wait


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    json.dump(asyncio.run(Crowd(plan).run()), sys.stdout)


if __name__ == "__main__":
    main()
