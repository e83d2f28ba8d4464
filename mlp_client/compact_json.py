"""JSON without blanks, as it is sent."""

import json
from collections.abc import Callable


def compact(value: object, default: Callable[[object], object] | None = None) -> bytes:
    """Return a value as JSON.

    Args:
        value: what to write.
        default: returns what stands for a value of a type that JSON does not have.

    Raises:
        TypeError, ValueError: it can't be written as JSON.

    """
    text = json.dumps(
        value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=default
    )
    return text.encode()
