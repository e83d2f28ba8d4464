"""Every route with every cookie that must not open it, and with good ones from the wrong places."""

import random
import string
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store import sessions
from service.store.identity import FolderIdentity
from service.store.sessions import LIFETIME_SECONDS, SessionSeal
from tests.conftest import QUICK, submit
from tests.support.campaign import Campaign
from tests.support.keyed_service import (
    SCOPES,
    Operation,
    SharedService,
    id_of,
    operations_of,
)

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
ELSEWHERE: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "SAME-ORIGIN "},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": "http://localhost"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://evil@127.0.0.1"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-site"},
    {"Referer": "http://127.0.0.1/"},
    {"X-Forwarded-Host": "127.0.0.1:3000", "Origin": "http://127.0.0.1:3000"},
    {"X-Requested-With": "XMLHttpRequest"},
)
"""What browsers and programs may say about a request that is not of the service's own page."""


@pytest.fixture(scope="module")
def operations(shared: SharedService) -> list[Operation]:
    """All that need a key."""
    found = operations_of(shared.client.get("/openapi.json").json())
    return [operation for operation in found if operation.scope not in (None, "any")]


@pytest.fixture(scope="module")
def seal(shared: SharedService) -> SessionSeal:
    return SessionSeal(FolderIdentity(shared.data_dir))


def cookie(seal: SessionSeal, value: str) -> dict[str, str]:
    return {"Cookie": f"{seal.cookie_name}={value}"}


class Past:
    """Stands in for the module `time`, at the begin of a session that has just ended."""

    @staticmethod
    def time() -> float:
        return time.time() - LIFETIME_SECONDS - 1


@pytest.fixture
def bad_cookies(
    shared: SharedService, seal: SessionSeal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    good = seal.new(id_of(shared.key["ops", "admin"]))
    key, end, digest = good.split(".")
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "time", Past)
        ended = seal.new(key)
    return {
        "none": "",
        "of another data directory": SessionSeal(FolderIdentity(tmp_path)).new(key),
        "ended": ended,
        "cut": good[:-1],
        "too long": good + "A",
        "without a digest": f"{key}.{end}.",
        "two parts": f"{key}.{end}",
        "later": f"{key}.{int(end) + 1}.{digest}",
        "for ever": f"{key}.{'9' * 12}.{digest}",
        "another key": f"{id_of(shared.key['bob', 'read'])}.{end}.{digest}",
        "a key itself": shared.key["ops", "admin"],
        "of an unknown key": seal.new("aaaaaaaaaa"),
        "of a revoked key": seal.new(id_of(str(shared.refused["revoked"]))),
        "of an expired key": seal.new(id_of(str(shared.refused["expired"]))),
    }


def test_no_route_opens_with_a_bad_cookie(
    shared: SharedService,
    operations: list[Operation],
    seal: SessionSeal,
    bad_cookies: dict[str, str],
    campaign: Campaign,
) -> None:
    before, asked, wrong = shared.jobs.page(100).jobs, 0, []
    for operation in operations:
        for what, value in bad_cookies.items():
            headers = cookie(seal, value) | OWN_PAGE
            answer = operation.send(shared.client, shared.trained["ada"], None, headers)
            asked += 1
            if answer.status_code != 401 or answer.json()["code"] != "unauthenticated":
                wrong.append((operation.method, operation.template, what, answer.status_code))
            assert "Set-Cookie" not in answer.headers
    what = "requests to each route with a cookie that is forged, cut, ended or of another key"
    campaign.figure(
        what, target="all 401", measured=f"{len(wrong)} of {asked} got in", met=not wrong
    )
    assert wrong == []
    assert shared.jobs.page(100).jobs == before


def test_a_mutated_cookie_opens_nothing(
    shared: SharedService, seal: SessionSeal, campaign: Campaign
) -> None:
    chance, good = random.Random(campaign.full), seal.new(id_of(shared.key["ops", "admin"]))
    name = seal.cookie_name
    letters = string.ascii_letters + string.digits + "-_.%+=/ \t\"'"
    assert shared.client.get("/v1/jobs", headers=cookie(seal, good)).status_code == 200
    got_in, count = [], campaign.of(300, 20_000)
    for _ in range(count):
        at, letter = chance.randrange(len(good)), chance.choice(letters)
        value = chance.choice(
            [good[:at] + letter + good[at + 1 :], good[:at] + letter + good[at:], good[:at]]
        )
        answer = shared.client.get("/v1/presets", headers={"Cookie": f"{name}={value}"})
        if answer.status_code != 401 and value.strip(" \t") != good:
            got_in.append(value)
    campaign.figure("mutated cookies", target="all 401", measured=count, met=not got_in)
    assert got_in == []


def test_a_session_opens_what_its_scope_opens_and_no_other(
    shared: SharedService, operations: list[Operation], seal: SessionSeal
) -> None:
    wrong = []
    for operation in operations:
        for scope in SCOPES:
            headers = cookie(seal, seal.new(id_of(shared.key["ada", scope]))) | OWN_PAGE
            job = shared.target(operation, "ada")
            answer = operation.send(shared.client, job, None, headers)
            if answer.is_success != (operation.scope == scope):
                wrong.append((operation.method, operation.template, scope, answer.status_code))
    assert wrong == []


def changes(operations: list[Operation]) -> Iterator[Operation]:
    return (operation for operation in operations if operation.method != "GET")


def test_no_other_page_or_program_changes_anything_with_a_good_cookie(
    shared: SharedService, operations: list[Operation], seal: SessionSeal, campaign: Campaign
) -> None:
    headers = cookie(seal, seal.new(id_of(shared.key["ops", "admin"])))
    submit(shared.jobs_of("ada"), **QUICK)
    before, asked, wrong = shared.jobs.page(100).jobs, 0, []
    for operation in changes(operations):
        for words in ELSEWHERE:
            job = shared.trained["ada"]
            answer = operation.send(shared.client, job, None, headers | words)
            asked += 1
            if answer.status_code != 403 or answer.json()["code"] not in (
                *("not-own-page", "cross-site"),
            ):
                wrong.append((operation.method, operation.template, words, answer.status_code))
    what = "changes with a good cookie that the service's own page has not requested"
    campaign.figure(
        what, target="all 403", measured=f"{len(wrong)} of {asked} passed", met=not wrong
    )
    assert asked > 60
    assert wrong == []
    assert shared.jobs.page(100).jobs == before


def test_a_session_is_not_begun_or_ended_by_another_page(shared: SharedService) -> None:
    body = {"key": shared.key["ada", "read"]}
    for words in ELSEWHERE:
        if words.keys() & {"Origin", "Sec-Fetch-Site"}:
            for method in ("POST", "DELETE"):
                json = body if method == "POST" else None
                answer = shared.client.request(method, "/v1/session", json=json, headers=words)
                assert answer.status_code == 403, (method, words)
                assert "Set-Cookie" not in answer.headers
