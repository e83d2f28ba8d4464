"""Paths as clients see them: behind the prefix under which a proxy publishes the service."""

from contextvars import ContextVar

ROOT_PATH: ContextVar[str] = ContextVar("root_path", default="")
"""The prefix of the current request (MLP_ROOT_PATH), such as /mlp, or "" for none."""


def public_path(path: str) -> str:
    """Return a path of the service behind the prefix."""
    return ROOT_PATH.get() + path
