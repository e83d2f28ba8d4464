"""Lists in query parameters and bodies, whose items may also be separated by commas."""

from pydantic import BeforeValidator


def _separated(value: object) -> object:
    """Return the parts of text, or of several texts, between commas; other values unchanged."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return value
    names = [name.strip() for part in parts for name in part.split(",")]
    return [name for name in names if name]


SEPARATED = BeforeValidator(_separated)
"""Makes a list of text with commas; `?a=1,2` and `?a=1&a=2` are the same then."""
