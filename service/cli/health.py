"""`mlp-service health`: ask a server whether it is ready."""

from typing import TYPE_CHECKING

import typer

from service.cli.options import Url, local_url, read_settings

if TYPE_CHECKING:
    from httpx2 import HTTPTransport


def health(url: Url = None) -> None:
    """Ask a server whether it is ready. The exit code is 0 if it is, else 1."""
    import httpx2

    name, url, transport = _target(url)
    try:
        with httpx2.Client(transport=transport, timeout=5, trust_env=False) as http:
            response = http.get(f"{url.rstrip('/')}/readyz")
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        typer.echo(f"{name} does not answer: {error}", err=True)
        raise typer.Exit(1) from None
    if not response.is_success:
        typer.echo(f"{name} is not ready: {response.status_code} {response.text}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{name} is ready")


def _target(url: str | None) -> tuple[str, str, "HTTPTransport"]:
    """Return the server's name, its URL and the way to it, by default those in the settings.

    The way is given, so that the request does not go through a proxy.
    """
    from httpx2 import HTTPTransport

    if url is not None:
        url = url if "://" in url else f"http://{url}"
        return url, url, HTTPTransport()
    settings = read_settings()
    if settings.uds:
        return f"unix:{settings.uds}", "http://localhost", HTTPTransport(uds=str(settings.uds))
    return local_url(settings), local_url(settings), HTTPTransport()
