"""The methods of an address: those of the route that describes it most exactly, and no others.

`/v1/jobs/preview` also has the form of `/v1/jobs/{job}`, but no job has this id.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from fastapi import HTTPException, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

PARAMETER = re.compile(r"\{.*?\}")


@dataclass(frozen=True)
class _Template:
    """The path of a route."""

    path: str
    pattern: re.Pattern[str]
    methods: frozenset[str]

    @property
    def parameters(self) -> int:
        return len(PARAMETER.findall(self.path))

    def is_narrower_than(self, other: "_Template") -> bool:
        """Return whether addresses of this template would also fit the other, wider one."""
        example = PARAMETER.sub("x", self.path)
        return self.parameters < other.parameters and bool(other.pattern.match(example))


class Addresses:
    """The addresses of an application, by the templates of its routes."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._templates = [_template(route) for route in iter_route_contexts(routes)]
        self._narrower = {
            wide.path: [it for it in self._templates if it.is_narrower_than(wide)]
            for wide in self._templates
        }

    def methods(self, path: str) -> set[str]:
        """Return the methods that routes declare for the address `path`."""
        fitting = [it for it in self._templates if it.pattern.match(path)]
        least = min((it.parameters for it in fitting), default=0)
        return {method for it in fitting if it.parameters == least for method in it.methods}

    def is_of_another(self, path: str, template: str) -> bool:
        """Return whether `path` is an address of a narrower template than the one it was found by.

        Most templates have none, so this takes no time.
        """
        return any(it.pattern.match(path) for it in self._narrower.get(template, ()))


def _template(route: RouteContext) -> _Template:
    pattern = cast("re.Pattern[str]", route.path_regex)
    return _Template(route.path or "", pattern, frozenset(route.methods or ()))


async def refuse_wide_match(request: Request) -> None:
    """Refuse a request that came to this route only because the address lacks its method.

    Raises:
        HTTPException: status 405; the router would have taken `preview` for the id of a job.

    """
    addresses: Addresses = request.app.state.addresses
    if addresses.is_of_another(request.scope["path"], request.scope["route"].path):
        raise HTTPException(405)
