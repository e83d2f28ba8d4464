"""`mlp-service health`: ask a server whether it is ready."""

import typer

from service.cli.options import Url, load_settings, local_url


def health(url: Url = None) -> None:
    """Ask a server whether it is ready. The exit code is 0 if it is, else 1."""
    import httpx2

    url, headers = _target(url)
    try:
        # trust_env=False, because the request must not go through a proxy.
        response = httpx2.get(
            f"{url.rstrip('/')}/readyz", headers=headers, timeout=5, trust_env=False
        )
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        typer.echo(f"{url} does not answer: {error}", err=True)
        raise typer.Exit(1) from None
    if not response.is_success:
        typer.echo(f"{url} is not ready: {response.status_code} {response.text}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{url} is ready")


def _target(url: str | None) -> tuple[str, dict[str, str]]:
    """Return the server's address, by default the one in the settings, and the request headers."""
    if url is not None:
        return (url if "://" in url else f"http://{url}"), {}
    settings = load_settings()
    # The server refuses Host headers that are not in this list, and 127.0.0.1 may not be.
    host = {} if "*" in settings.allowed_hosts else {"Host": settings.allowed_hosts[0]}
    return local_url(settings), host
