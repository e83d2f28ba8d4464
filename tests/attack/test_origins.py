"""Pages of other origins and hosts of other names get nothing, however alike they are."""

import random
import string
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.support.campaign import Campaign
from tests.support.raw_requests import raw, request
from tests.support.server_process import Server

ALLOWED_ORIGINS = ("https://app.example", "http://localhost:3000", "https://xn--mnchen-3ya.de")
ALLOWED_HOSTS = ("digits.example.com", "localhost", "127.0.0.1")
FAMILY = "lab.example"
"""All names under it are allowed."""
MARKS = [
    *string.printable.strip(),
    "\x80",
    "\xa0",
    "\xff",
    ".evil.com",
    "evil",
    "@evil.com",
    ":443",
    ":80",
    "//",
    "null",
]
FIXED_ORIGINS = ["null", "*", "file://", "", "about:blank", "data:", "blob:https://app.example"]


@pytest.fixture(scope="module")
def keyed(
    tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path
) -> Iterator[tuple[Server, str]]:
    """A server with allowed origins and hosts, and a key that may do everything."""
    environment = {
        "MLP_CONCURRENT_JOBS": "0",
        "MLP_ALLOWED_ORIGINS": ",".join(ALLOWED_ORIGINS),
        "MLP_ALLOWED_HOSTS": ",".join([*ALLOWED_HOSTS, f"*.{FAMILY}"]),
        "MLP_TRUSTED_PROXIES": "",
        "MLP_LOG_LEVEL": "error",
    }
    server = Server(tmp_path_factory.mktemp("origins") / "data", datasets_dir, **environment)
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        database = Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")
        secret = ApiKeyStore(database).create("ada", ["admin"])
        database.close()
        yield server, secret


def lookalikes(texts: tuple[str, ...], count: int, seed: int) -> Iterator[str]:
    """Yield texts that differ from one of `texts` in one or two places, and from all of them."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        text = chance.choice(texts)
        for _ in range(chance.choice((1, 1, 2))):
            text = altered(text, chance)
        # A client trims blanks around a header's value, as every parser does.
        if text.strip() not in texts:
            made += 1
            yield text


def altered(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    mark = chance.choice(MARKS)
    return chance.choice(
        (
            text[:at] + mark + text[at:],
            text[:at] + mark + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[:at] + text[at:].upper(),
            mark + text,
            text + mark,
        )
    )


def test_the_allowed_origins_and_hosts_are_served(keyed: tuple[Server, str]) -> None:
    """The campaigns below would show nothing otherwise."""
    server, secret = keyed
    authorized = {"Authorization": f"Bearer {secret}"}
    for origin in ALLOWED_ORIGINS:
        headers = authorized | {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        answer = server.http.post("/v1/jobs/x/cancel", headers=headers)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, origin)
    for host in (*ALLOWED_HOSTS, f"a.b.{FAMILY}"):
        assert server.http.get("/docs", headers={"Host": host}).status_code == 200


def test_a_page_of_no_other_origin_uses_a_stolen_key(
    keyed: tuple[Server, str], campaign: Campaign
) -> None:
    server, secret = keyed
    origins = [*FIXED_ORIGINS, *lookalikes(ALLOWED_ORIGINS, campaign.of(300, 20_000), seed=1)]
    with campaign.cases("origins of strangers that used a stolen key or read an answer") as case:
        for origin in origins:
            with case():
                check_gets_nothing(server.http, origin, secret)
    headers = {"Authorization": f"Bearer {secret}"}
    assert server.http.get("/v1/jobs", headers=headers).json()["data"] == []


def check_gets_nothing(http: httpx2.Client, origin: str, secret: str) -> None:
    encoded = origin.encode()
    page = [(b"Origin", encoded), (b"Authorization", f"Bearer {secret}".encode())]
    asked = [*page[:1], (b"Access-Control-Request-Method", b"POST")]
    try:
        preflight = http.options("/v1/jobs", headers=asked)
        change = http.post("/v1/jobs", headers=page, json={"preset": "linear"})
        read = http.get("/v1/jobs", headers=page)
    except httpx2.LocalProtocolError:  # no client can send it
        return
    assert preflight.status_code in (400, 403), origin
    assert change.status_code in (400, 403), origin
    for answer in (preflight, change, read):
        assert "Access-Control-Allow-Origin" not in answer.headers, origin


def test_a_page_of_any_other_origin_gets_nothing_out_of_a_session(
    keyed: tuple[Server, str], campaign: Campaign
) -> None:
    """Not even one of an allowed origin: such pages send the key itself."""
    server, secret = keyed
    begun = httpx2.post(f"{server.url}/v1/session", json={"key": secret})
    cookie = begun.headers["Set-Cookie"].split(";")[0]
    own = {"Cookie": cookie, "Origin": server.url}
    assert server.http.get("/v1/jobs", headers=own).status_code == 200
    texts = (*ALLOWED_ORIGINS, server.url)
    origins = [*ALLOWED_ORIGINS, *FIXED_ORIGINS]
    origins += lookalikes(texts, campaign.of(300, 20_000), seed=3)
    with campaign.cases("origins of strangers that used a browser's session") as case:
        for origin in origins:
            # Browsers write hosts in lower case, as the comparison does; http or https is alike.
            if origin.lower().partition("://")[2] != server.url.partition("://")[2]:
                with case():
                    check_session_is_useless(server.http, origin, cookie)
    assert server.http.get("/v1/jobs", headers=own).json()["data"] == []


def check_session_is_useless(http: httpx2.Client, origin: str, cookie: str) -> None:
    page = [(b"Origin", origin.encode()), (b"Cookie", cookie.encode())]
    try:
        answers = [
            http.get("/v1/jobs", headers=page),
            http.post("/v1/jobs", headers=page, json={"preset": "linear"}),
            http.post("/v1/jobs/preview", headers=page, json={}),
            http.patch("/v1/jobs/x", headers=page, json={"name": "x"}),
            http.head("/v1/events", headers=page),
            http.delete("/v1/session", headers=page),
        ]
    except httpx2.LocalProtocolError:  # no client can send it
        return
    for answer in answers:
        assert answer.status_code in (400, 403), origin
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Set-Cookie" not in answer.headers


def test_no_other_name_reaches_the_service(keyed: tuple[Server, str], campaign: Campaign) -> None:
    server, _ = keyed
    names = (*ALLOWED_HOSTS[:2], f"evil{FAMILY}", FAMILY, "x.evil.com")
    count = campaign.of(150, 10_000)
    with campaign.cases("foreign names in Host that were answered") as case:
        for name in lookalikes(names, count, seed=2):
            if not is_own(name):
                with case():
                    head = request(b"/docs", host=name.encode())
                    assert raw(server, head)[0] in (400, 408), name


def is_own(host: str) -> bool:
    """Return whether the settings allow a Host header, decided apart from the code under test."""
    name, _, port = host.strip().lower().rpartition(":")
    if not name or not (port == "" or (port.isascii() and port.isdigit())):
        name = host.strip().lower()
    labels = name.split(".")
    plain = all(
        label and set(label) <= set(string.ascii_lowercase + string.digits + "-_")
        for label in labels
    )
    return name in ALLOWED_HOSTS or (plain and len(labels) > 2 and labels[-2:] == FAMILY.split("."))
