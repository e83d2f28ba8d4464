"""The command `mlp-service jobs`."""

import json

import pytest

from tests.support.command_line import run
from tests.support.fake_service import FakeService, make_job, serving


def service_with(*states: str) -> FakeService:
    service = FakeService()
    for number, state in enumerate(states, 1):
        service.add(make_job(f"job_{number}", state, done=2, name=f"run {number}"))
    return service


def test_a_pipe_gets_a_line_for_each_job_newest_first() -> None:
    with serving(service_with("succeeded", "running")) as url:
        result = run("jobs", "--url", url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["job_2", "running", "2/3", "98.00%", "2026-11-22 00:00:00Z", "run 2", "mnist"],
        ["job_1", "succeeded", "2/3", "98.00%", "2026-11-22 00:00:00Z", "run 1", "mnist"],
    ]


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    with serving(service_with("succeeded")) as url:
        result = run("jobs", "--url", url)
    assert "test accuracy" in result.stdout
    assert "│ job_1 │ succeeded │ 2/3" in result.stdout


def test_json_has_one_record_on_each_line() -> None:
    with serving(service_with("succeeded", "running")) as url:
        result = run("jobs", "--json", "--url", url)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["id"] for record in records] == ["job_2", "job_1"]
    assert records[1]["metrics"]["latest"]["test_accuracy"] == 0.98


def test_only_the_states_asked_for_are_listed() -> None:
    with serving(service_with("succeeded", "failed", "running")) as url:
        result = run("jobs", "--state", "failed", "--state", "running", "--json", "--url", url)
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["job_3", "job_2"]


def test_a_list_that_leaves_jobs_out_says_how_to_see_them() -> None:
    with serving(service_with("succeeded", "failed", "running")) as url:
        cut = run("jobs", "--limit", 2, "--url", url)
        whole = run("jobs", "--limit", 3, "--url", url)
    assert len(cut.stdout.splitlines()) == 2
    assert cut.stderr == "There are more jobs: list them with --limit 10.\n"
    assert (len(whole.stdout.splitlines()), whole.stderr) == (3, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "There are no jobs.\n"), (["--state", "failed"], "There are no such jobs.\n")],
)
def test_an_empty_list_says_so(arguments: list[str], message: str) -> None:
    with serving(FakeService()) as url:
        result = run("jobs", *arguments, "--url", url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", message)
