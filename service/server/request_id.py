"""The id of a request: the client's if it sent a plain one, else a new one."""

import re
import secrets
from collections.abc import Iterable
from itertools import count

HEADERS = (b"request-id", b"x-request-id")
"""The first of these that is well formed counts."""
WELL_FORMED = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@~-]{0,127}")
"""Letters that need no escaping in a log, a header, JSON or a shell."""

_START = secrets.token_hex(5)
"""Makes ids of different server processes different."""
_numbers = count(1)


def new() -> str:
    """Return an id that no other request has."""
    return f"{_START}-{next(_numbers):08x}"


def chosen(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client sent if it is well formed, or else a new one."""
    sent = [header for header in headers if header[0] in HEADERS]
    for _, value in sorted(sent) if sent else ():
        if WELL_FORMED.fullmatch(value):
            return value.decode()
    return new()
