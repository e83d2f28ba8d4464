"""A request with the reading of its response, without any input or output.

Every method of the client sends calls. They are made once, in `job_calls`, `model_calls` and
`server_calls`; `Connection` sends them and blocks, `AsyncConnection` sends them and is awaited.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from mlp_client.errors import (
    ApiError,
    KeyRefused,
    NotFoundError,
    RefusedError,
    ServerError,
    UnexpectedAnswer,
)
from mlp_client.records import Problem

T = TypeVar("T")
AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


class CallOptions(TypedDict, total=False):
    """Options of every method that sends requests."""

    timeout: float | None
    """Seconds to wait for the next byte of a response; by default those of the client."""
    max_retries: int | None
    """How often a request is repeated; by default as often as the client says."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what becomes of its response."""

    method: str
    path: str
    """Path on the server, with its leading slash."""
    parse: Callable[[httpx2.Response], T]
    """Returns the result in a successful response; a ValueError says that there is none."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `httpx2.Client.request`."""
    recover: Callable[[ApiError], T | None] | None = None
    """Returns the result that an error stands for, or None if it is an error indeed."""
    patience: float = 0
    """Repeat the request for this many seconds, even after the usual number of retries."""

    def result(self, response: httpx2.Response) -> T:
        """Return the result in a response.

        Raises:
            ApiError: the response is an error; the subclass depends on its status.
            UnexpectedAnswer: the response is not one of this service.

        """
        if not response.is_success:
            error = error_of(response)
            recovered = self.recover(error) if self.recover else None
            if recovered is None:
                raise error
            return recovered
        try:
            return self.parse(response)
        except ValueError as error:  # pydantic's ValidationError is one
            raise UnexpectedAnswer(str(response.url)) from error


Calls: TypeAlias = Generator[Call[T], T, None]
"""Calls of which each may depend on the result of the one before, which is sent back."""


def record(kind: type[AnyRecord]) -> Callable[[httpx2.Response], AnyRecord]:
    """Return a function that reads the JSON of a response as a record."""
    return lambda response: kind.model_validate_json(response.content)


def body(response: httpx2.Response) -> bytes:
    return response.content


def nothing(_: httpx2.Response) -> None:
    """Read a response that has no content."""


def error_of(response: httpx2.Response) -> ApiError:
    """Return the error for a response with an error status."""
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy or another program wrote the response
        title = f"{status} {response.reason_phrase}"
        problem = Problem(
            type="about:blank",
            title=title,
            status=status,
            detail=f"{response.request.method} {response.url}: {title}",
            code="unknown",
        )
    if status in (401, 403) and problem.code in ("unauthenticated", "forbidden"):
        return KeyRefused(problem)
    if status == 404:
        return NotFoundError(problem)
    return RefusedError(problem) if 400 <= status < 500 else ServerError(problem)
