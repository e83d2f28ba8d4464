"""Write a spec as JSON, also with NumPy's numbers and arrays in it."""

from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat, SupportsIndex

from pydantic import BaseModel

from mlp_client.compact_json import compact
from mlp_client.errors import SpecUnusable


def spec_json(fields: Mapping[str, Any]) -> bytes:
    """Return the fields of a spec as a JSON object.

    A number of NumPy is written as the number that it is exactly: float32(0.1) is
    0.10000000149011612.

    Raises:
        SpecUnusable: a field can't be written as JSON.

    """
    return b"{" + b",".join(_member(name, value) for name, value in fields.items()) + b"}"


def _member(name: str, value: object) -> bytes:
    try:
        return compact(name) + b":" + compact(value, _plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecUnusable(f"{name}: its value can't be written as JSON ({error})") from None


def _plain(value: object) -> object:
    """Return what stands for a value that `json` does not know."""
    if isinstance(value, BaseModel):  # such as Sgd or Augmentation
        return value.model_dump()
    to_list = getattr(value, "tolist", None)
    if callable(to_list):  # an array or a scalar of NumPy
        return to_list()
    if isinstance(value, SupportsIndex):
        return value.__index__()
    if isinstance(value, SupportsFloat):
        return float(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | Mapping):
        return list(value)
    raise TypeError(f"it has the type {type(value).__name__}")
