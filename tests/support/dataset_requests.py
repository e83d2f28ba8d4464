"""Sends data sets to a service, and looks at what it holds."""

import socket
from pathlib import Path
from typing import Any

import httpx2

from tests.support.live_service import Live

SETS = "/v1/datasets"


def put(live: Live, name: str, content: bytes, **query: Any) -> httpx2.Response:
    return live.http.put(f"{SETS}/{name}", content=content, params=query)


def final(live: Live, name: str, **headers: str) -> dict[str, Any]:
    """Return a data set as soon as it is ready or has failed."""
    answer = live.http.get(f"{SETS}/{name}", params={"wait": 60}, timeout=70, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def connection_to(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.http.base_url.port or 0), timeout=20)


def head(name: str, length: int, *lines: str) -> bytes:
    sent = [f"PUT {SETS}/{name} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *lines]
    return "\r\n".join([*sent, "", ""]).encode()


def names(live: Live) -> set[str]:
    return {each["name"] for each in live.http.get(SETS).json()["data"]} - {"mnist"}


def left_behind(live: Live) -> list[Path]:
    uploads = live.app.state.components.services.intake.uploads.directory
    return list(uploads.glob("*")) if uploads.exists() else []
