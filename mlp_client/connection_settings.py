"""What blocking and asynchronous connections have in common: address, key, timeouts, retries.

Every request of this client may safely be sent twice: a submission carries an Idempotency-Key,
repeating an action that is done changes nothing, a prediction only computes, and a repeated
deletion at worst reports that there is no such job. Therefore all requests are retried in the same
way when the connection fails or a gateway answers instead of the server.
"""

import os
from dataclasses import dataclass
from typing import Any

import httpx2
import tenacity

from mlp_client import __version__, address
from mlp_client.address import Address
from mlp_client.calls import Call
from mlp_client.errors import KeyUnusable

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_RETRIES = 4
CONNECT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0
# A read timeout is not among them: the server has the request and may only be slow.
RETRIED_ERRORS = (httpx2.ConnectTimeout, httpx2.NetworkError, httpx2.RemoteProtocolError)
RETRIED_STATUSES = (502, 503, 504, 507)
# Every job that is waited for holds a connection, so the pool must not limit them.
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)

_backoff = tenacity.wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1)


@dataclass(frozen=True)
class ConnectionSettings:
    """How to reach a server."""

    address: Address
    timeout: float = DEFAULT_TIMEOUT
    """Seconds to wait for the next byte of a response."""
    max_retries: int = DEFAULT_MAX_RETRIES
    api_key: str | None = None

    def http_options(self) -> dict[str, Any]:
        """Return the arguments of `httpx2.Client` and `httpx2.AsyncClient`.

        Raises:
            KeyUnusable: the text can't be an API key.

        """
        return {
            "base_url": self.address.url,
            "timeout": timeout_of(self.timeout),
            "headers": {
                "User-Agent": f"mlp-service-client/{__version__}",
                **_authorization(self.api_key),
            },
            "limits": LIMITS,
        }

    def transport_options(self) -> dict[str, Any] | None:
        """Return the arguments of a transport that uses no proxy, or None if a proxy may be used.

        With a transport of its own, httpx2 does not look for proxies in the environment. One that
        is set there could not forward requests to this machine, or could not even be used.
        """
        return {"limits": LIMITS, "uds": self.address.socket} if self.address.is_local else None

    def request_options(self, call: Call[Any], timeout: float | None) -> dict[str, Any]:
        """Return the arguments of `httpx2.Client.request` for a call."""
        changed = {} if timeout is None else {"timeout": timeout_of(timeout)}
        return {"method": call.method, "url": call.path, **call.arguments, **changed}

    def stream_options(self, after: str, timeout_seconds: float) -> dict[str, Any]:
        """Return the arguments of `httpx2.Client.sse`; see `Connection.events`."""
        timeout = httpx2.Timeout(self.timeout, connect=CONNECT_SECONDS, read=timeout_seconds)
        return {"headers": {"Last-Event-ID": after} if after else {}, "timeout": timeout}

    def retry_options(self, call: Call[Any], max_retries: int | None) -> dict[str, Any]:
        """Return the arguments of `tenacity.Retrying` and `tenacity.AsyncRetrying` for a call."""
        retries = self.max_retries if max_retries is None else max_retries
        return {
            "retry": tenacity.retry_if_exception_type(RETRIED_ERRORS)
            | tenacity.retry_if_result(_has_retried_status),
            "wait": _pause,
            "stop": tenacity.stop_all(
                tenacity.stop_after_attempt(retries + 1),
                tenacity.stop_after_delay(call.patience),
            ),
            "retry_error_callback": _last_outcome,
        }


def settings_of(
    base_url: str | None, timeout: float, max_retries: int, api_key: str | None
) -> ConnectionSettings:
    """Return the settings that a client is given, with those of the environment for the rest.

    Raises:
        AddressUnusable: `base_url` or `$MLP_SERVICE_URL` is not the address of a server.

    """
    url = base_url or os.environ.get("MLP_SERVICE_URL") or DEFAULT_URL
    key = api_key or os.environ.get("MLP_API_KEY") or None
    return ConnectionSettings(address.parse(url), timeout, max_retries, key)


def timeout_of(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


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
