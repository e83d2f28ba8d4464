"""Fields that a command has no option for, each given as `--set FIELD=VALUE`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def with_extra_fields(fields: Mapping[str, Any], extra: Sequence[str]) -> dict[str, Any]:
    """Return fields together with further ones, each of the form FIELD=VALUE.

    Raises:
        ValueError: a field is given twice, or a value can't be read or written as JSON.

    """
    found = dict(fields)
    for text in extra:
        name, value = _parse_field(text)
        if name in found:
            raise ValueError(f"--set {text}: {name} is given twice; leave one out.")
        found[name] = value
    for name, value in found.items():
        _check_writable_as_json(name, value)
    return found


def _parse_field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ValueError(f"--set: {text!r} is not of the form FIELD=VALUE, such as l2=1e-4")
    try:
        return name, json.loads(value, parse_constant=str)
    except RecursionError:
        raise ValueError(f"--set {name}: the JSON is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and value.lstrip().startswith(("{", "[")):
            where = f"character {error.pos + 1}, after {value[: error.pos][-30:]!r}"
            raise ValueError(f"--set {name}: invalid JSON at {where}: {error.msg}") from None
        return name, value


def _check_writable_as_json(name: str, value: object) -> None:
    try:
        json.dumps([name, value], allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # 1e999 is read as infinity, and undecodable bytes as lone surrogates
        raise ValueError(f"{ascii(name)[1:-1]}: its value can't be written as JSON") from None
