"""The wire: one HTTP connection pool, with retries, errors made of problems, event streams.

Every request of this client may be sent twice without harm: submitting carries an
Idempotency-Key, repeating a done move changes nothing, predicting only computes, and a delete
that had worked before is at worst told that there is no such job.
So all of them are retried, alike, when the connection fails or a gateway answers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import tenacity
from pydantic import BaseModel, ValidationError

from mlp_client import __version__
from mlp_client.errors import (
    ApiError,
    ConnectionFailed,
    KeyRefused,
    KeyUnusable,
    NotFoundError,
    RefusedError,
    ServerError,
    UnexpectedAnswer,
)
from mlp_client.records import Problem

Answer = TypeVar("Answer", bound=BaseModel)

# A request that was sent and not answered in time is not among them: the server may be slow.
LOST = (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.RemoteProtocolError)
BUSY = (502, 503, 504, 507)
ATTEMPTS = 5
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0

_backoff = tenacity.wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1)


class Connection:
    def __init__(
        self,
        base_url: str,
        timeout: float,
        transport: httpx2.BaseTransport | None,
        api_key: str | None = None,
    ) -> None:
        url = base_url if "://" in base_url else f"http://{base_url}"
        self.base_url = url.rstrip("/")
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=self.base_url,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            transport=transport,
            headers={"User-Agent": f"mlp-service-client/{__version__}", **_authorization(api_key)},
            # Each job waited for holds a connection, so the pool must not be the limit.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    def close(self) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, *, patience: float = 0, **options: Any
    ) -> httpx2.Response:
        """Send a request, and again while nobody answers; raise if it is refused.

        Args:
            patience: seconds to go on trying beyond the usual few attempts.

        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(LOST) | tenacity.retry_if_result(_is_busy),
            wait=_pause,
            stop=tenacity.stop_all(
                tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_after_delay(patience)
            ),
            retry_error_callback=_last_outcome,
        )
        try:
            response = retrying(self._http.request, method, path, **options)
        except httpx2.TransportError as error:
            raise ConnectionFailed(self.base_url, error) from error
        if not response.is_success:
            raise _error_of(response)
        return response

    def ask(
        self, answer: type[Answer], path: str, *, method: str = "GET", **options: Any
    ) -> Answer:
        """Send a request and read the JSON it answers as a record."""
        response = self.request(method, path, **options)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise UnexpectedAnswer(str(response.url)) from error

    def fetch(self, path: str, params: Mapping[str, str | int] | None = None) -> bytes:
        return self.request("GET", path, params=params).content

    @contextmanager
    def events(self, path: str, after: str, silence: float) -> Iterator[httpx2.EventSource]:
        """Open an event stream, which breaks after `silence` seconds without a byte."""
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx2.Timeout(self._timeout, connect=CONNECT_SECONDS, read=silence)
        with self._http.sse(path, headers=headers, timeout=timeout) as source:
            yield source


def _authorization(api_key: str | None) -> dict[str, str]:
    """Return the header that carries the key; httpx2 itself never shows this header."""
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise KeyUnusable
    return {"Authorization": f"Bearer {api_key}"}


def _is_busy(response: httpx2.Response) -> bool:
    return response.status_code in BUSY


def _pause(state: tenacity.RetryCallState) -> float:
    """Wait as long as the server asks for, else ever longer, a little at random."""
    if state.outcome and not state.outcome.failed:
        asked = state.outcome.result().headers.get("Retry-After", "")
        if asked.isdecimal():
            return min(float(asked), LONGEST_PAUSE_SECONDS)
    return _backoff(state)


def _last_outcome(state: tenacity.RetryCallState) -> httpx2.Response:
    assert state.outcome is not None  # noqa: S101  (tenacity sets it before it calls back)
    response: httpx2.Response = state.outcome.result()
    return response


def _error_of(response: httpx2.Response) -> ApiError:
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # a proxy's page, or another program
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
