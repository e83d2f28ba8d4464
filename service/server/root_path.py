"""The path prefix under which a proxy publishes the service."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.public_path import ROOT_PATH


class RootPath:
    """Removes the prefix from requests, and tells the layers behind it what it was.

    Some proxies remove it themselves, so requests without it pass as well. The layers that decide
    by path, and the router, therefore all see the same path. It must not begin with the prefix, or
    Starlette would remove it once more.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # uvicorn writes the access log from this scope, so it is changed and not copied.
        scope["path"] = self._without_prefix(scope["path"])
        if "raw_path" in scope:
            raw_path = self._without_prefix(scope["raw_path"].decode("latin-1"))
            scope["raw_path"] = raw_path.encode("latin-1")
        scope["root_path"] = self._prefix
        token = ROOT_PATH.set(self._prefix)
        try:
            await self._app(scope, receive, send)
        finally:
            ROOT_PATH.reset(token)

    def _without_prefix(self, path: str) -> str:
        while path == self._prefix or path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix) or "/"
        return path
