"""Sessions of browsers: what their cookies say, and what vouches for it."""

import base64
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from service.store.identity import Identity

LIFETIME_SECONDS = 12 * 3600
VALUE = re.compile(r"([a-z0-9]{8,12})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")
NAME_DIGITS = 6


@dataclass(frozen=True)
class Session:
    """A browser that has shown an API key."""

    key_id: str
    ends_at: int
    """The end, in seconds since 1970."""

    @property
    def has_ended(self) -> bool:
        return time.time() >= self.ends_at

    @property
    def is_past_half(self) -> bool:
        """Whether less than half of its life is left."""
        return self.ends_at - time.time() < LIFETIME_SECONDS / 2

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.ends_at, UTC)


class SessionSeal:
    """Writes and reads the values of session cookies.

    A value holds no API key, because browsers send the cookies of one port of a host to all others.
    It names the key by its id, and a digest that only this service can compute vouches for it.
    Nothing is stored for a session, so a server that starts again knows them all.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def cookie_name(self) -> str:
        """The name of the cookie: services of one host have different ones, whatever their ports.

        Raises:
            StoreBroken: the identity of the service can't be read.
        """
        return f"mlp_{self._identity.instance[:NAME_DIGITS]}"

    def new(self, key_id: str) -> str:
        """Return the value of a new cookie."""
        said = f"{key_id}.{int(time.time()) + LIFETIME_SECONDS}"
        return f"{said}.{self._digest(said)}"

    def opened(self, value: str) -> Session | None:
        """Return the session of a value that this service has sealed, unless it has ended.

        Raises:
            StoreBroken: the identity of the service can't be read.
        """
        found = VALUE.fullmatch(value)
        if not found:
            return None
        same = hmac.compare_digest(self._digest(value.rpartition(".")[0]), found[3])
        session = Session(found[1], int(found[2]))
        return session if same and not session.has_ended else None

    def _digest(self, said: str) -> str:
        made = hmac.digest(self._identity.session_secret, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
