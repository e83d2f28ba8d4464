"""Requests from pages of other sites. ../api/test_problems.py tests hosts and security headers."""

import pytest
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_a_page_of_another_site_changes_nothing(
    api: TestClient, method: str, headers: dict[str, str]
) -> None:
    answer = api.request(method, "/v1/jobs", headers={**headers, "Content-Length": "2"})
    check_problem(answer, 403)
    assert answer.json()["code"] == "cross-site"
    assert answer.headers["Connection"] == "close"
    assert api.get("/v1/jobs", headers=headers).json()["data"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "HTTPS://127.0.0.1"},
        {"Origin": "http://localhost:8000", "Host": "LOCALHOST:8000"},
        {"Origin": "https://proxied.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_the_services_own_pages_and_other_programs_may_change_jobs(
    api: TestClient, headers: dict[str, str]
) -> None:
    assert api.post("/v1/jobs", json={}, headers=headers).status_code == 201
