"""Sessions of browsers: the cookie that stands for an API key, and tries with wrong keys."""

import math
import time
from collections import deque
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

import structlog
from anyio import to_thread
from starlette.types import Message, Scope, Send

from service.domain.errors import KeyRefused, TooManyTries
from service.domain.request_facts import REQUEST
from service.server.key_ring import KeyRing, valid_key
from service.store.sessions import LIFETIME_SECONDS, Session, SessionSeal

logger = structlog.get_logger(__name__)

MAX_TRIES, WINDOW_SECONDS = 10, 60.0
MAX_CLIENTS = 10_000
"""Number of clients whose wrong keys are remembered; beyond that, the oldest are forgotten."""
MAX_COOKIES = 5
"""Number of cookies of our name that are looked at; other services of the host can add more."""
NETWORK_BITS = 64
"""A client with IPv6 has a whole network of this size for itself."""


class Sessions:
    """Begins and ends sessions, and finds the session of a request."""

    def __init__(self, ring: KeyRing, seal: SessionSeal) -> None:
        self._ring, self._seal = ring, seal
        self._tries = WrongKeys()

    async def begin(self, scope: Scope, key: str) -> str:
        """Return the `Set-Cookie` header of a new session for a client with this key.

        Raises:
            TooManyTries: the client has sent too many wrong keys.
            KeyRefused: the key is not valid.
            StoreBroken: the keys or the identity of the service can't be read.
        """
        client = _client(scope)
        self._tries.check(client)
        try:
            found = valid_key(await self._ring.keys(), key)
        except KeyRefused:
            self._tries.note(client)
            raise
        self._ring.uses.note(found.id)
        if facts := REQUEST.get():
            facts.key = found.id
        logger.info("session_begun", key=found.id, owner=found.owner)
        value = await to_thread.run_sync(self._seal.new, found.id)  # the first one writes a file
        return self._header(scope, value, LIFETIME_SECONDS)

    def end(self, scope: Scope) -> str:
        """Return the `Set-Cookie` header that makes a browser forget its session."""
        return self._header(scope, "", 0)

    def of(self, scope: Scope) -> Session | None:
        """Return the session of a request that has not ended, or None.

        Raises:
            StoreBroken: the identity of the service can't be read.
        """
        sent = cookie_headers(scope)
        if not sent:
            return None
        for value in list(_values(sent, self._seal.cookie_name))[:MAX_COOKIES]:
            if session := self._seal.opened(value):
                return session
        return None

    def renewing(self, scope: Scope, send: Send, session: Session) -> Send:
        """Return a `send` that renews the session's cookie, if it is past half its life."""
        if not session.is_past_half:
            return send
        header = self._header(scope, self._seal.new(session.key_id), LIFETIME_SECONDS)

        async def renew(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"set-cookie", header.encode())]
                message = {**message, "headers": headers}
            await send(message)

        return renew

    def _header(self, scope: Scope, value: str, seconds: int) -> str:
        path = scope.get("root_path") or "/"
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        return (
            f"{self._seal.cookie_name}={value}; HttpOnly; SameSite=Strict; Path={path}; "
            f"Max-Age={seconds}{secure}"
        )


class WrongKeys:
    """Counts the wrong keys of each client, and refuses more than ten a minute."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        """When each client sent its last wrong keys; the client that did so last is last."""

    def check(self, client: str) -> None:
        """Raise TooManyTries if a client must wait."""
        times = self._times.get(client, deque[float]())
        if len(times) == MAX_TRIES and (wait := times[0] + WINDOW_SECONDS - time.monotonic()) > 0:
            raise TooManyTries(math.ceil(wait))

    def note(self, client: str) -> None:
        times = self._times.pop(client, None) or deque(maxlen=MAX_TRIES)
        times.append(time.monotonic())
        self._times[client] = times
        if len(self._times) > MAX_CLIENTS:
            del self._times[next(iter(self._times))]


def cookie_headers(scope: Scope) -> tuple[bytes, ...]:
    """Return the Cookie headers of a request: one from a browser, perhaps more through a proxy."""
    return tuple(value for name, value in scope["headers"] if name == b"cookie")


def _values(headers: tuple[bytes, ...], name: str) -> Iterator[str]:
    """Yield the values of all cookies with a name."""
    for header in headers:
        for pair in header.decode("latin-1").split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name:
                yield value


def _client(scope: Scope) -> str:
    """Return the address of a client, or of its network; a client of a UNIX socket has none."""
    host: str = (scope.get("client") or ("", 0))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and not address.ipv4_mapped:
        return str(int(address) >> NETWORK_BITS)
    return str(address)
