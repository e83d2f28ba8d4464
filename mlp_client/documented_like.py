"""Docstrings for classes whose methods are those of another class."""

from collections.abc import Callable
from typing import TypeVar

AnyClass = TypeVar("AnyClass", bound=type)


def documented_like(original: type) -> Callable[[AnyClass], AnyClass]:
    """Return a decorator that gives methods without docstrings those of the original's methods."""

    def decorate(copy: AnyClass) -> AnyClass:
        for name, method in vars(copy).items():
            if callable(method) and not method.__doc__ and not name.startswith("_"):
                method.__doc__ = getattr(original, name).__doc__
        return copy

    return decorate
