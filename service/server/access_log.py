"""The access log: one line for each answered request, written once per turn of the event loop."""

import asyncio
import re
import time
from datetime import UTC, datetime
from functools import lru_cache, partial
from urllib.parse import quote

from starlette.types import Scope

from service.domain.request_facts import RequestFacts
from service.logs import LogOutput, mask, timestamp

MAX_PATH = 200
"""Longest path and client address in a line; a client may send 32 KiB."""
PLAIN = re.compile(r"[!#-\[\]-~]*")
SAFE = "!#$%&'()*+,/:;<=>?@[]^`{|}~"
"""Printable ASCII that stays as it is, like letters and digits; no blank, quote or backslash."""
KEPT = 1000
"""Methods, paths and addresses are mostly those of earlier requests."""
RETRY_SECONDS = 0.2
"""When to try again after the reader of the log has been too slow."""


class AccessLog:
    """Formats lines by hand: structlog would take as long for one as a prediction does."""

    def __init__(self, output: LogOutput) -> None:
        self._writer, self._enabled = output.writer, output.informative
        self._line = _json_line if output.as_json else _console_line
        self._is_flush_due = False

    def add(self, scope: Scope, facts: RequestFacts, status: int, seconds: float) -> None:
        """Add the line of a request that has been answered with `status`; 0 is no answer."""
        if not self._enabled:
            return
        self._writer.add(partial(self._line, time.time(), scope, facts, status, seconds))
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = not self._writer.flush()
        if self._is_flush_due:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._flush)


def _json_line(at: float, scope: Scope, facts: RequestFacts, status: int, seconds: float) -> str:
    return (
        f'{{"event": "request", "level": "info", "timestamp": "{_timestamp(at)}", '
        f'"method": "{_plain(scope["method"])}", "path": "{_path(scope)}", "status": {status}, '
        f'"milliseconds": {1000 * seconds:.3f}, "client": {_or_null(_client(scope))}, '
        f'"key": {_or_null(facts.key)}, "request_id": "{facts.id}", '
        f'"model": {_or_null(facts.model)}}}\n'
    )


def _or_null(value: str | None) -> str:
    return f'"{value}"' if value else "null"


def _console_line(at: float, scope: Scope, facts: RequestFacts, status: int, seconds: float) -> str:
    known = {
        "client": _client(scope),
        "key": facts.key,
        "request_id": facts.id,
        "model": facts.model,
    }
    rest = "".join(f" {name}={value}" for name, value in known.items() if value)
    return (
        f"{_timestamp(at)} [info     ] request                        "
        f"method={_plain(scope['method'])} path={_path(scope)} status={status} "
        f"milliseconds={1000 * seconds:.3f}{rest}\n"
    )


def _timestamp(at: float) -> str:
    second = int(at)
    return f"{_second(second)}{int(1e6 * (at - second)):06d}Z"


@lru_cache(2)
def _second(second: int) -> str:
    """Return the first part of a time; it is the same for all requests of a second."""
    return timestamp(datetime.fromtimestamp(second, UTC))[:20]


def _path(scope: Scope) -> str:
    """Return the path as it was sent, still percent-encoded, without the query."""
    raw = scope.get("raw_path")
    return _plain(raw.decode("latin-1") if raw else quote(scope["path"], errors="surrogatepass"))


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return _plain(client[0]) if client else None


@lru_cache(KEPT)
def _is_plain(text: str) -> bool:
    return PLAIN.fullmatch(text) is not None and "mlp_" not in text


def _plain(text: str) -> str:
    """Return what a client sent in a form that can neither forge a line or field nor hold a secret.

    Blanks, quotes, backslashes and everything that is not printable ASCII are percent-encoded.
    """
    if len(text) <= MAX_PATH and _is_plain(text):
        return text
    masked = mask(text)
    shortened = masked if len(masked) <= MAX_PATH else f"{masked[:MAX_PATH]}..."
    return quote(shortened, safe=SAFE, errors="surrogatepass")
