"""How values are stored: JSON and times become text here, and nowhere else."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
"""A row by the names of its columns."""

JSON_COLUMNS = frozenset(
    {
        "reason",
        "spec",
        "cost",
        "latest",
        "best",
        "environment",
        "handle",
        "data",
        "scopes",
        "options",
        "files",
        "report",
        "progress",
    }
)
TIME_COLUMNS = frozenset(
    {
        "at",
        "created_at",
        "started_at",
        "finished_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "seen_at",
    }
)
BOOLEAN_COLUMNS = frozenset({"bit_exact", "learned", "planned"})


def now() -> datetime:
    """Return the current time in UTC.

    Clients see it, and idempotency keys and API keys expire by it; nothing else depends on it.
    """
    return datetime.now(UTC)


def encode(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are stored."""
    stored = dict(values)
    for name, value in values.items():
        if type(value) in ENCODERS:
            stored[name] = ENCODERS[type(value)](value)
    return stored


def decode_rows(description: Sequence[Sequence[Any]], found: Sequence[Sequence[Any]]) -> list[Row]:
    """Return a cursor's rows by the names of their columns, which decide how they are decoded."""
    if not found:
        return []
    names = [column[0] for column in description]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for name in DECODERS.keys() & names:
        decode = DECODERS[name]
        for row in rows:
            if row[name] is not None:
                row[name] = decode(row[name])
    return rows


def in_list(name: str, values: Collection[Any]) -> tuple[str, dict[str, Any]]:
    """Return the inside of `IN (…)` for some values, at least one, and its parameters."""
    parameters = {f"{name}_{index}": value for index, value in enumerate(values)}
    return ", ".join(f":{parameter}" for parameter in parameters), parameters


def _time_text(value: datetime) -> str:
    """Return a time as text of one length, so that texts compare as times do."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _time(value: Any) -> Any:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


ENCODERS: dict[type, Callable[[Any], str]] = {
    dict: json.dumps,
    list: json.dumps,
    datetime: _time_text,
}
DECODERS: dict[str, Callable[[Any], Any]] = (
    dict.fromkeys(JSON_COLUMNS, _json)
    | dict.fromkeys(TIME_COLUMNS, _time)
    | dict.fromkeys(BOOLEAN_COLUMNS, bool)
)
