"""Query parameters: what a route does not know is refused, as unknown fields of a body are."""

from collections import Counter
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute


async def check_query(request: Request) -> None:
    """Refuse parameters that are misspelt, or come twice so that one of them would be ignored."""
    if not request.url.query:
        return
    known = _known(request.scope["route"])
    given = Counter(name for name, _ in request.query_params.multi_items())
    flaws = [_flaw(name, times, known) for name, times in given.items()]
    if errors := [flaw for flaw in flaws if flaw]:
        raise RequestValidationError(errors)


def _known(route: APIRoute) -> dict[str, bool]:
    """Return the query parameters of a route, and which of them may come more than once."""
    fields = get_flat_params(route.dependant)
    queries = [field for field in fields if isinstance(field.field_info, Query)]
    return {field.alias: get_origin(field.field_info.annotation) is list for field in queries}


def _flaw(name: str, times: int, known: dict[str, bool]) -> dict[str, Any] | None:
    where = {"loc": ("query", name), "input": None}
    if name not in known:
        return {"type": "extra_forbidden", "msg": "", "ctx": {"known": list(known)}, **where}
    if times > 1 and not known[name]:
        return {"type": "value_error", "msg": f"comes {times} times; send it once", **where}
    return None
