"""Who sends a request: the owner and the scopes of its API key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class Principal:
    """Who asks: an owner, with the scopes of the key that was sent."""

    owner: str | None
    scopes: frozenset[str]
    still_valid: Callable[[], Awaitable[bool]] = _always
    """Tells whether the key still counts: an answer may go on for hours."""

    @property
    def sees_everything(self) -> bool:
        return "admin" in self.scopes


STRANGER = Principal(None, frozenset())
"""Who asks at the addresses that need no key; no job is a stranger's."""
