"""An address belongs to the route that describes it most exactly."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from service.api.addresses import Addresses
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import URL
from tests.support.live_service import Live


@pytest.fixture(scope="module")
def addresses() -> Addresses:
    app, router = FastAPI(openapi_url=None), APIRouter(prefix="/things")
    for method, path in (
        ("GET", "/{thing}"),
        ("DELETE", "/{thing}"),
        ("POST", "/count"),
        ("GET", "/{thing}/{part}"),
        ("PUT", "/{thing}/{other}"),
        ("PATCH", "/{thing}/name"),
    ):
        router.add_api_route(path, lambda: None, methods=[method])
    app.include_router(router)
    return Addresses(app.routes)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/things/x", {"GET", "DELETE"}),
        ("/things/count", {"POST"}),
        ("/things/counts", {"GET", "DELETE"}),
        ("/things/x/y", {"GET", "PUT"}),
        ("/things/x/name", {"PATCH"}),
        ("/things", set()),
        ("/other", set()),
    ],
)
def test_an_address_has_the_methods_of_its_narrowest_templates(
    addresses: Addresses, path: str, methods: set[str]
) -> None:
    assert addresses.methods(path) == methods


def test_an_address_that_fits_a_narrower_template_is_not_of_the_wider_one(
    addresses: Addresses,
) -> None:
    assert addresses.is_of_another("/things/count", "/things/{thing}")
    assert addresses.is_of_another("/things/x/name", "/things/{thing}/{part}")
    assert not addresses.is_of_another("/things/x", "/things/{thing}")
    assert not addresses.is_of_another("/things/count", "/things/count")
    assert not addresses.is_of_another("/things/x/y", "/things/{thing}/{other}")


def test_every_documented_address_has_the_methods_that_are_documented() -> None:
    app = create_app(Settings())
    found = Addresses(app.routes)
    documented = {
        path: {method.upper() for method in item} for path, item in app.openapi()["paths"].items()
    }
    fixed = [path for path in documented if "{" not in path]
    assert len(fixed) > 10
    for path in fixed:
        assert found.methods(path) - {"HEAD"} == documented[path], path


@pytest.mark.parametrize("path", ["/v1/jobs/preview", "/v1/jobs/actions"])
def test_a_word_in_the_place_of_an_id_is_not_taken_for_one(live: Live, path: str) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        answer = live.http.request(method, path, json={"name": "x"} if method == "PATCH" else None)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
        assert answer.json()["detail"].endswith("it supports: POST, OPTIONS.")


def test_the_methods_are_the_same_behind_the_prefix_of_a_proxy() -> None:
    app = create_app(Settings(root_path="/lab"))
    client = TestClient(app, base_url=URL)
    for prefix in ("", "/lab"):
        answer = client.options(f"{prefix}/v1/jobs/preview")
        assert answer.headers["Allow"] == "POST, OPTIONS"
