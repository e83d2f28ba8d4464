"""HTTP requests to one server: connection pool, retries, error responses and event streams.

Every request of this client may safely be sent twice: a submission carries an Idempotency-Key,
repeating an action that is done changes nothing, a prediction only computes, and a repeated
deletion at worst reports that there is no such job. Therefore all requests are retried in the same
way when the connection fails or a gateway answers instead of the server.
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

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)

# A read timeout is not among them: the server has the request and may only be slow.
RETRIED_ERRORS = (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.RemoteProtocolError)
RETRIED_STATUSES = (502, 503, 504, 507)
ATTEMPTS = 5
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0

_backoff = tenacity.wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1)


class Connection:
    """A pool of HTTP connections to one server."""

    def __init__(
        self,
        base_url: str,
        timeout: float,
        transport: httpx2.BaseTransport | None,
        api_key: str | None = None,
    ) -> None:
        """Prepare the pool; connections are opened by the first requests.

        Args:
            base_url: address of the server; `http://` may be omitted.
            timeout: seconds to wait for the next byte of a response.
            transport: replaces the network, for tests.
            api_key: sent with every request.

        Raises:
            KeyUnusable: the text can't be an API key.

        """
        url = base_url if "://" in base_url else f"http://{base_url}"
        self.base_url = url.rstrip("/")
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=self.base_url,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            transport=transport,
            headers={"User-Agent": f"mlp-service-client/{__version__}", **_authorization(api_key)},
            # Every job that is waited for holds a connection, so the pool must not limit them.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, retry_seconds: float = 0, **options: Any
    ) -> httpx2.Response:
        """Send a request, retry it if necessary, and return the successful response.

        Args:
            method: HTTP method.
            path: path on the server, with its leading slash.
            retry_seconds: continue to retry for this time, even after the usual five attempts.
            options: further arguments of `httpx2.Client.request`.

        Raises:
            ConnectionFailed: the last attempt got no response.
            ApiError: the response is an error; the subclass depends on its status.

        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RETRIED_ERRORS)
            | tenacity.retry_if_result(_has_retried_status),
            wait=_pause,
            stop=tenacity.stop_all(
                tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_after_delay(retry_seconds)
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

    def request_record(
        self, record: type[AnyRecord], path: str, *, method: str = "GET", **options: Any
    ) -> AnyRecord:
        """Send a request and return its JSON response as a record.

        Raises:
            UnexpectedAnswer: the response is not such a record.
            ConnectionFailed, ApiError: as for `request`.

        """
        response = self.request(method, path, **options)
        try:
            return record.model_validate_json(response.content)
        except ValidationError as error:
            raise UnexpectedAnswer(str(response.url)) from error

    def download(self, path: str, params: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of the response to a GET request.

        Raises:
            ConnectionFailed, ApiError: as for `request`.

        """
        return self.request("GET", path, params=params).content

    @contextmanager
    def events(self, path: str, after: str, timeout_seconds: float) -> Iterator[httpx2.EventSource]:
        """Open an event stream, without retries.

        Args:
            path: path of the stream.
            after: id of the last event received, or an empty string for all events.
            timeout_seconds: the stream fails after this time without a byte.

        Raises:
            httpx2.TransportError: the connection failed.

        """
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx2.Timeout(self._timeout, connect=CONNECT_SECONDS, read=timeout_seconds)
        with self._http.sse(path, headers=headers, timeout=timeout) as source:
            yield source


def _authorization(api_key: str | None) -> dict[str, str]:
    """Return the header that carries the key; httpx2 masks this header wherever it shows it."""
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise KeyUnusable
    return {"Authorization": f"Bearer {api_key}"}


def _has_retried_status(response: httpx2.Response) -> bool:
    return response.status_code in RETRIED_STATUSES


def _pause(state: tenacity.RetryCallState) -> float:
    """Return the seconds before the next attempt: the server's Retry-After or a growing back-off.

    The back-off has a random part.
    """
    if state.outcome and not state.outcome.failed:
        requested = state.outcome.result().headers.get("Retry-After", "")
        if requested.isdecimal():
            return min(float(requested), LONGEST_PAUSE_SECONDS)
    return _backoff(state)


def _last_outcome(state: tenacity.RetryCallState) -> httpx2.Response:
    assert state.outcome is not None  # noqa: S101  (tenacity sets it before it calls back)
    response: httpx2.Response = state.outcome.result()
    return response


def _error_of(response: httpx2.Response) -> ApiError:
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
