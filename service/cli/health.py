"""`mlp-service health`: ask a server whether it is ready."""

import json
from typing import TYPE_CHECKING

import typer

from service.cli.options import Json, Url, local_url, read_settings

if TYPE_CHECKING:
    from httpx2 import HTTPTransport


SOCKET_SCHEMES = ("unix:", "http+unix:")


def health(as_json: Json = False, url: Url = None) -> None:
    """Ask a server whether it is ready. The exit code is 0 if it is, else 1."""
    name, address, transport = _target(url)
    flaw = _why_not_ready(address, transport)
    if as_json:
        typer.echo(json.dumps({"url": name, "ready": flaw is None, "detail": flaw}))
    else:
        typer.echo(f"{name} {flaw or 'is ready'}", err=flaw is not None)
    raise typer.Exit(0 if flaw is None else 1)


def _why_not_ready(url: str, transport: "HTTPTransport") -> str | None:
    """Return why a server is not ready, without its name, or None if it is."""
    import httpx2

    try:
        with httpx2.Client(transport=transport, timeout=5, trust_env=False) as http:
            response = http.get(f"{url.rstrip('/')}/readyz")
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        return f"does not answer: {error}"
    if not response.is_success:
        return f"is not ready: {response.status_code} {response.text}"
    return None


def _target(url: str | None) -> tuple[str, str, "HTTPTransport"]:
    """Return the server's name, its URL and the way to it, by default those in the settings.

    The way is given, so that the request does not go through a proxy.
    """
    from httpx2 import HTTPTransport

    if url is not None and url.startswith(SOCKET_SCHEMES):
        return _socket_target(url)
    if url is not None:
        url = url if "://" in url else f"http://{url}"
        return url, url, HTTPTransport()
    settings = read_settings()
    if settings.uds:
        return f"unix:{settings.uds}", "http://localhost", HTTPTransport(uds=str(settings.uds))
    return local_url(settings), local_url(settings), HTTPTransport()


def _socket_target(url: str) -> tuple[str, str, "HTTPTransport"]:
    from httpx2 import HTTPTransport

    from mlp_client.address import parse
    from mlp_client.errors import AddressUnusable

    try:
        address = parse(url)
    except AddressUnusable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    return address.shown, address.url, HTTPTransport(uds=address.socket)
