"""What trusted proxies say about the client: its address, its scheme and the host it asked for."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from service.server.uvicorn_internals import LOCAL_CLIENT, ProxyHeaders

FORWARDED_HOST = "forwarded_host"
"""Key of X-Forwarded-Host in the scope of a request that a trusted proxy has passed on."""


class Forwarded:
    """Believes `X-Forwarded-For`, `-Proto` and `-Host` of trusted proxies, and of no one else.

    Programs that connect to a UNIX socket are proxies that the socket's permissions admit.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._app = app
        self._believing_app = ProxyHeaders(
            app, list(proxies) if "*" in proxies else [*proxies, LOCAL_CLIENT]
        )
        self._trusted = self._believing_app.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if not client or client[0] not in self._trusted:
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
        if hosts:
            scope[FORWARDED_HOST] = b",".join(hosts).decode("latin-1")
        await self._believing_app(scope, receive, send)


def forwarded_hosts(scope: Scope) -> list[str]:
    """Return the hosts that trusted proxies say the client asked for, in lower case."""
    hosts: str = scope.get(FORWARDED_HOST, "")
    return [host.strip().lower() for host in hosts.split(",")]
