"""Brings addresses into one form, before anything is decided by them."""

from starlette.types import ASGIApp, Receive, Scope, Send

IGNORED_PARAMETERS = frozenset([b"_", b"t", b"ts", b"cb", b"cachebust", b"nocache"])
"""Query parameters with which libraries and pages get around caches; they mean nothing here."""
LAST_EVENT_ID = b"lastEventId"
"""The query parameter in which EventSource polyfills send what is `Last-Event-ID` in browsers."""
STREAM = "/events"
"""The end of the only paths where `lastEventId` means something."""


def normalize_addresses(app: ASGIApp) -> ASGIApp:
    """Return `app` behind a layer that removes a trailing slash and ignored query parameters.

    It changes the scope itself, so that every layer decides by the same path.
    """

    async def normalized(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].endswith("/"):
                _remove_slash(scope)
            if scope["query_string"]:
                keep_event_id = scope["path"].endswith(STREAM)
                scope["query_string"] = _meaningful(scope["query_string"], keep_event_id)
        await app(scope, receive, send)

    return normalized


def _remove_slash(scope: Scope) -> None:
    """Remove one slash from the end of the path; not if it is the root, doubled or escaped."""
    path, raw = scope["path"], scope.get("raw_path", b"/")
    if path != "/" and not path.endswith("//") and raw.endswith(b"/"):
        scope["path"], scope["raw_path"] = path[:-1], raw[:-1]


def _meaningful(query: bytes, keep_event_id: bool) -> bytes:
    """Return a query string without the parameters that are ignored.

    A polyfill may append `lastEventId` to an address that has it already, so its last value counts.
    """
    kept, event_id = [], b""
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == LAST_EVENT_ID:
            event_id = part if value else b""
        elif name not in IGNORED_PARAMETERS:
            kept.append(part)
    if event_id and keep_event_id:
        kept.append(event_id)
    return b"&".join(kept)
