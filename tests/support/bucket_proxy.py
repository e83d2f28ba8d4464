"""A proxy between a cluster and its bucket, which disturbs every request as it is told."""

import random
import re
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Literal

Fault = Literal["", "503", "403", "refused", "silent", "slow", "narrow", "changed", "cut"]
REFUSALS = {
    "503": ("503 Slow Down", "SlowDown"),
    "403": ("403 Forbidden", "InvalidAccessKeyId"),
}
PIECE = 65536
NARROW_BYTES_PER_SECOND = 1_000_000


class BucketProxy:
    """Forwards requests to a local port, one on each connection.

    Attributes:
        fault: what happens to requests: the bucket answers 503 or 403; refuses connections; says
            nothing; answers after 1 to 4 seconds; takes the time that a request needs on a slow
            line; answers with changed bytes; or the connection is cut after `cut_after` bytes of
            the answer.

    """

    def __init__(self, port: int, seed: int = 1) -> None:
        self._to, self._random = port, random.Random(seed)
        self.fault: Fault = ""
        self.cut_after = 0
        self.disturbed: Counter[str] = Counter()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "BucketProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.fault = "refused"
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            fault = self.fault
            if fault == "refused":
                self.disturbed[fault] += 1
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            if request := _request(client):
                if self.fault:
                    self.disturbed[self.fault] += 1
                self._answer(client, request)

    def _answer(self, client: socket.socket, request: bytes) -> None:
        fault, cut_after = self.fault, self.cut_after
        if fault in REFUSALS:
            client.sendall(_refusal(*REFUSALS[fault]))
            return
        while self.fault == "silent":
            time.sleep(0.05)
        if fault == "silent":
            return
        if fault == "slow":
            time.sleep(self._random.uniform(1, 4))
        if fault == "narrow":
            time.sleep(len(request) / NARROW_BYTES_PER_SECOND)
        with socket.create_connection(("127.0.0.1", self._to)) as server:
            server.sendall(request)
            answer = b"".join(iter(lambda: server.recv(PIECE), b""))
        if fault == "changed":
            answer = _changed(answer)
        client.sendall(answer[:cut_after] if fault == "cut" else answer)


def _request(client: socket.socket) -> bytes:
    """Read a request; return it with the wish that its connection is closed after the answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(PIECE)):
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        if not (piece := client.recv(PIECE)):
            return b""
        body += piece
    return head + b"\r\nConnection: close\r\n\r\n" + body


def _refusal(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>Refused.</Message></Error>"
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _changed(answer: bytes) -> bytes:
    """Change the byte in the middle of the body, if there is one."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not body:
        return answer
    at = len(body) // 2
    return head + end + body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
