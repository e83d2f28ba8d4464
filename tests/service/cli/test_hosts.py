"""The command `mlp-service hosts`."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.command_line import run
from tests.support.fake_service import FakeService, serving

HOST = {
    "id": "a" * 16,
    "name": "lab-1",
    "slots": 4,
    "busy": 1,
    "memory": 6 * 1024**3,
    "version": "1.0",
    "started_at": "2026-11-30T08:00:00Z",
    "seen_at": "2026-11-30T09:00:00Z",
}
SYSTEM = {
    "object": "system",
    "version": "1.0",
    "keys": {"required": False},
    "slots": {"total": 4, "busy": 1},
    "jobs": {},
}


def hosts(system: dict[str, Any], *options: str) -> Any:
    service = FakeService()
    answer = httpx2.Response(200, json=system)
    service.routes.insert(0, ("GET /v1/system", lambda request: answer))
    with serving(service) as url:
        return run("hosts", "--url", url, *options)


def test_hosts_are_tab_separated_in_a_pipe() -> None:
    found = hosts({**SYSTEM, "hosts": [HOST, {**HOST, "name": "lab\x1b[31m-2"}]})
    first, second = found.stdout.splitlines()
    assert first.split("\t") == [
        "lab-1", "4", "1", "6.0 GiB", "1.0", "2026-11-30 08:00:00Z", "2026-11-30 09:00:00Z"
    ]  # fmt: skip
    assert "\x1b" not in second
    assert found.exit_code == 0


def test_hosts_are_lines_of_json_on_request() -> None:
    found = hosts({**SYSTEM, "hosts": [HOST]}, "--json")
    assert json.loads(found.stdout) == HOST


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ({**SYSTEM, "hosts": []}, "start some with `mlp-service work`"),
        (SYSTEM, "the server trains all jobs itself"),
        ({name: SYSTEM[name] for name in SYSTEM if name != "jobs"}, "may not read"),
        ({name: SYSTEM[name] for name in ("object", "version", "keys")}, "A key is needed"),
    ],
)
def test_it_is_said_why_there_are_none(system: dict[str, Any], said: str) -> None:
    found = hosts(system)
    assert found.stdout == ""
    assert said in found.stderr
    assert found.exit_code == 0
