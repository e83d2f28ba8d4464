"""The client behind a request: the owner and the scopes of its API key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

ANY_KEY = "any"
"""The scope of requests that every key allows, and that are answered without one as well."""


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class Principal:
    """The owner that a request acts for, and the scopes of the key that it was sent with."""

    owner: str | None
    scopes: frozenset[str]
    still_valid: Callable[[], Awaitable[bool]] = _always
    """Returns whether the key is still valid; for streams, which may last for hours."""
    key_id: str | None = None
    models_of: str | None = None
    """The owner whose models the key predicts with, if it is another one."""

    expires_at: datetime | None = None
    """When the key expires; None if it never does."""

    @property
    def is_stranger(self) -> bool:
        """Whether the request came without a key, to a service that requires keys."""
        return not self.scopes

    def sees(self, owner: str | None) -> bool:
        """Return whether the request may see the jobs of an owner."""
        return self.sees_everything or (owner is not None and owner == self.owner)

    @property
    def sees_everything(self) -> bool:
        return "admin" in self.scopes

    @property
    def models_owner(self) -> str | None:
        """The owner whose models the request may use; for all else `owner` decides."""
        return self.models_of or self.owner


ANONYMOUS = Principal(None, frozenset())
"""The principal of requests to routes that need no key; it can see no jobs."""
