"""Retries, errors and API keys of the client."""

import socket
import time

import httpx2
import pytest

from mlp_client import (
    ApiError,
    Client,
    ConnectionFailed,
    KeyRefused,
    KeyUnusable,
    RefusedError,
    ServerError,
    UnexpectedAnswer,
)
from tests.support.fake_service import FakeService, make_job, problem


def test_gateway_errors_are_retried_until_the_server_is_back() -> None:
    service = FakeService()
    service.faults.extend(httpx2.Response(status) for status in (502, 503, 504))
    assert service.client().presets()
    assert len(service.requests) == 4


def test_retry_after_decides_the_pause() -> None:
    service = FakeService()
    service.faults.append(httpx2.Response(503, headers={"Retry-After": "1"}))
    began = time.monotonic()
    service.client().presets()
    assert 1 <= time.monotonic() - began < 5


def test_a_server_that_remains_busy_is_reported_with_its_problem() -> None:
    service = FakeService()
    busy = problem(503, "Shutting down.")
    busy.headers["Retry-After"] = "0"
    service.faults.extend([busy] * 9)
    with pytest.raises(ServerError, match="Shutting down"):
        service.client().presets()
    assert len(service.requests) == 5


@pytest.mark.parametrize("status", [400, 409, 422, 500])
def test_other_problems_are_not_retried(status: int) -> None:
    service = FakeService()
    service.faults.append(problem(status, "No."))
    with pytest.raises(ApiError, match=r"^No\.$"):
        service.client().presets()
    assert len(service.requests) == 1


def test_a_request_with_a_slow_response_is_not_repeated() -> None:
    service = FakeService()
    service.faults.append(httpx2.ReadTimeout("too slow"))
    with pytest.raises(ConnectionFailed, match="too slow"):
        service.client().presets()
    assert len(service.requests) == 1


def test_a_server_that_is_not_running_is_reported_with_the_command_that_starts_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}") as client,
        pytest.raises(ConnectionFailed, match=f"{port} .*mlp-service serve"),
    ):
        client.presets()


def test_the_error_page_of_a_proxy_is_reported_by_its_status() -> None:
    service = FakeService()
    service.faults.append(httpx2.Response(413, text="<html>nginx</html>"))
    with pytest.raises(RefusedError, match="GET http://fake/v1/presets: 413 "):
        service.client().presets()


def test_another_program_on_the_port_is_recognised() -> None:
    service = FakeService()
    service.faults.append(httpx2.Response(200, text="<html>Jupyter</html>"))
    with pytest.raises(UnexpectedAnswer, match="another program"):
        service.client().presets()


def test_the_environment_names_the_server_and_an_argument_overrides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Client().base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("MLP_SERVICE_URL", "http://gpu-box:80/")
    assert Client().base_url == "http://gpu-box:80"
    assert Client("http://here").base_url == "http://here"


@pytest.mark.parametrize("address", ["localhost:8000", "127.0.0.1:8000", "[::1]:80/mlp", "gpu-box"])
def test_an_address_without_a_scheme_uses_http(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Client(address).base_url == f"http://{address}"
    monkeypatch.setenv("MLP_SERVICE_URL", address)
    assert Client().base_url == f"http://{address}"


def test_the_path_of_the_base_url_is_kept() -> None:
    service = FakeService()
    service.add(make_job("job_1"))
    client = Client("http://proxy/mlp/", transport=httpx2.MockTransport(service))
    with pytest.raises(ApiError):
        client.jobs.get("job_1")
    assert service.paths() == ["GET /mlp/v1/jobs/job_1"]


# --- API keys ---


def sent_authorization(service: FakeService) -> list[str | None]:
    return [request.headers.get("Authorization") for request in service.requests]


def test_the_key_is_sent_with_each_request_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, key = FakeService(), "mlp_abcdefghij_" + "s" * 43
    monkeypatch.setenv("MLP_API_KEY", "mlp_of_the_environment")
    transport = httpx2.MockTransport(service)
    with Client("http://fake", transport=transport, api_key=key) as client:
        client.presets()
    with Client("http://fake", transport=transport) as client:
        client.presets()
    assert sent_authorization(service) == [f"Bearer {key}", "Bearer mlp_of_the_environment"]
    shown = (client, client.jobs, client.models, *(sent.headers for sent in service.requests))
    assert not any("of_the_environment" in repr(it) or key in repr(it) for it in shown)


def test_without_a_key_no_authorization_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_API_KEY", "")
    service = FakeService()
    service.client().presets()
    assert sent_authorization(service) == [None]


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden")])
def test_the_error_about_a_refused_key_says_how_to_set_one(status: int, code: str) -> None:
    service = FakeService()
    service.faults.append(problem(status, "No.", code=code))
    with pytest.raises(KeyRefused, match=r"^No\. .*MLP_API_KEY"):
        service.client().presets()
    assert len(service.requests) == 1


@pytest.mark.parametrize("key", ["mlp_a\n", "mlp a", "schlüssel", "\x00"])
def test_a_text_that_can_not_be_a_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(KeyUnusable, match="MLP_API_KEY") as caught:
        Client(api_key=key)
    assert key not in str(caught.value)


# --- Timeouts and retries of single requests ---


@pytest.mark.parametrize("retries", [0, 2])
def test_the_client_and_each_request_say_how_often_to_try_again(retries: int) -> None:
    for of_client, of_request in ((retries, {}), (9, {"max_retries": retries})):
        service = FakeService()
        service.faults.extend([httpx2.ReadError("reset")] * 20)
        transport = httpx2.MockTransport(service)
        client = Client("http://fake", transport=transport, max_retries=of_client)
        with pytest.raises(ConnectionFailed):
            client.presets(**of_request)
        assert len(service.requests) == retries + 1


def sent_timeouts(service: FakeService) -> list[tuple[float, float]]:
    timeouts = [request.extensions["timeout"] for request in service.requests]
    return [(it["read"], it["connect"]) for it in timeouts]


def test_a_request_may_have_another_timeout_than_the_client() -> None:
    service = FakeService()
    client = Client("http://fake", timeout=9, transport=httpx2.MockTransport(service))
    client.presets()
    client.presets(timeout=2)
    client.jobs.create("linear", timeout=3)
    client.models.predict([[0] * 784], timeout=4)
    assert sent_timeouts(service) == [(9, 5), (2, 2), (3, 3), (4, 4)]


def test_a_list_of_jobs_is_requested_with_the_given_options() -> None:
    service = FakeService()
    assert list(service.client().jobs.list(timeout=1.5)) == []
    assert sent_timeouts(service) == [(1.5, 1.5)]
