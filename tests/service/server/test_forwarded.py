"""What proxies say about the client counts if they are trusted, and only then."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.server.forwarded import Forwarded, forwarded_hosts

SAID = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "Digits.Example:8443",
}


def seen(proxies: list[str], peer: str, **headers: str) -> Scope:
    """Return the scope of a request that `peer` sends, as the layers behind see it."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    layer: Any = Forwarded(app, proxies)
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    TestClient(layer, client=(peer, 5000)).get("/", headers=SAID | said)
    return scopes[0]


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [
        (["10.0.0.1"], "10.0.0.1"),
        (["10.0.0.0/8"], "10.9.9.9"),
        (["::1"], "::1"),
        ([], "unix"),
    ],
)
def test_a_trusted_proxy_is_believed(proxies: list[str], peer: str) -> None:
    scope = seen(proxies, peer)
    assert (scope["client"][0], scope["scheme"]) == ("203.0.113.9", "https")
    assert forwarded_hosts(scope) == ["digits.example:8443"]


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [([], "10.0.0.1"), (["127.0.0.1"], "10.0.0.1"), (["10.0.0.0/8"], "11.0.0.1"), ([], "unixx")],
)
def test_anybody_else_is_not(proxies: list[str], peer: str) -> None:
    scope = seen(proxies, peer)
    assert (scope["client"][0], scope["scheme"]) == (peer, "http")
    assert forwarded_hosts(scope) == [""]


def test_of_several_proxies_the_last_that_is_not_trusted_is_the_client() -> None:
    scope = seen(["10.0.0.0/8"], "10.0.0.1", X_Forwarded_For="6.6.6.6, 203.0.113.9, 10.0.0.2")
    assert scope["client"][0] == "203.0.113.9"


def test_a_star_believes_everybody() -> None:
    assert seen(["*"], "203.0.113.1")["client"][0] == "6.6.6.6"


def test_a_list_of_hosts_names_each_of_them() -> None:
    scope = seen(["10.0.0.1"], "10.0.0.1", X_Forwarded_Host="a.example, b.example")
    assert forwarded_hosts(scope) == ["a.example", "b.example"]
