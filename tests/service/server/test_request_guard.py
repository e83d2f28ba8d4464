"""Host headers, and requests from pages of other sites.

../api/test_problems.py tests more hosts and the security headers, test_cors.py listed origins.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.live_service import settings


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


# --- One's own pages behind a proxy that rewrites Host ---


@pytest.fixture
def proxied(data_dir: Path, datasets_dir: Path) -> Iterator[TestClient]:
    """The service as a trusted proxy reaches it."""
    app = create_app(settings(data_dir, datasets_dir))
    with TestClient(app, base_url=URL, client=("127.0.0.1", 5000)) as client:
        yield client


def test_the_host_that_a_trusted_proxy_names_is_ones_own(proxied: TestClient) -> None:
    headers = {"Origin": "http://lab.example:8080", "X-Forwarded-Host": "Lab.example:8080"}
    assert proxied.post("/v1/jobs", json={}, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Forwarded-Host": "lab.example.evil.com"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "lab.example:8080"},
        {"X-Forwarded-Host": ""},
        {"Forwarded": "host=lab.example"},
        {"X-Forwarded-Host": "lab.example", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_another_host_is_not(proxied: TestClient, headers: dict[str, str]) -> None:
    headers = {"Origin": "http://lab.example", **headers}
    answer = proxied.post("/v1/jobs", json={}, headers=headers)
    check_problem(answer, 403)
    assert answer.json()["detail"].endswith("add http://lab.example there.")


def test_a_host_that_a_stranger_names_is_not(api: TestClient) -> None:
    """The fixture's client has no address, so it is no trusted proxy."""
    headers = {"Origin": "http://lab.example", "X-Forwarded-Host": "lab.example"}
    check_problem(api.post("/v1/jobs", json={}, headers=headers), 403)


def test_an_origin_without_a_host_is_never_ones_own(proxied: TestClient) -> None:
    headers = {"Origin": "null", "X-Forwarded-Host": ""}
    assert proxied.post("/v1/jobs", json={}, headers=headers).status_code == 403


# --- Host headers ---


@pytest.mark.parametrize(
    "host", ["10.244.0.5:8000", "mlp-service", "evil.example", "", "a b", "\x7f", "x" * 3000]
)
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_is_answered_whatever_the_host(reader: TestClient, path: str, host: str) -> None:
    assert reader.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/v1/jobs", "/docs"])
@pytest.mark.parametrize("host", ["10.244.0.5:8000", "192.168.1.2", "[fe80::1]:80", "127.1.2.3"])
def test_an_ip_address_is_no_name_that_a_page_could_point_here(
    reader: TestClient, path: str, host: str
) -> None:
    assert reader.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1.evil.example",
        "10.0.0.256",
        "10.0.0",
        "0x7f.1",
        "2130706433",
        "fe80::1",
        "[fe80::1",
        "[evil.example]",
        "[10.0.0.1]",
        "10.0.0.1:x",
        "10.0.0.1@evil.example",
        "localhost:8000:8000",
        "localhost/",
    ],
)
def test_what_only_resembles_an_address_is_refused(reader: TestClient, host: str) -> None:
    check_problem(reader.get("/v1/jobs", headers={"Host": host}), 400)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a.example.com", 200),
        ("A.B.Example.com:8000", 200),
        ("example.com", 400),
        ("evilexample.com", 400),
        (".example.com", 400),
        ("a.example.com.evil.org", 400),
        ("evil.org#.example.com", 400),
        ("evil.org/.example.com", 400),
    ],
)
def test_a_wildcard_stands_for_the_names_under_a_domain(
    data_dir: Path, datasets_dir: Path, host: str, status: int
) -> None:
    app = create_app(settings(data_dir, datasets_dir, allowed_hosts=["*.example.com"]))
    assert TestClient(app).get("/docs", headers={"Host": host}).status_code == status
