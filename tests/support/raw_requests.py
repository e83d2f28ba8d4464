"""Requests sent byte by byte: client libraries tidy up URLs and headers, attackers do not."""

import contextlib
import re
import socket

from tests.support.server_process import Server


def raw(server: Server, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Send one request unchanged; return the status and all bytes of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head + length.encode() + body)
        answer = received(connection)
    if not answer:
        return 400, b""  # refused by the parser, and closed before all of it was read
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    assert found, answer[:200]
    return int(found[1]), answer


def received(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


def request(
    address: bytes, method: str = "GET", /, host: bytes = b"127.0.0.1", **headers: bytes
) -> bytes:
    """Return the head of a request, as far as the headers given; `_` in their names is `-`."""
    lines = [method.encode() + b" " + address + b" HTTP/1.1", b"Host: " + host]
    lines += [name.replace("_", "-").encode() + b": " + value for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n"
