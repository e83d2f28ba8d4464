"""The commands `epochs`, `curves` and `weights` of `mlp-service`."""

import json
from pathlib import Path

import pytest

from tests.support.command_line import run, usage_error
from tests.support.fake_service import FakeService, make_job, serving


def service_with_jobs() -> FakeService:
    service = FakeService()
    for name in ("job_1", "job_2"):
        service.add(make_job(name, "succeeded", 3))
    return service


def test_epochs_are_printed_one_on_each_line() -> None:
    with serving(service_with_jobs()) as url:
        plain = run("epochs", "job_1", "--url", url)
        as_json = run("epochs", "job_1", "--json", "--url", url)
    assert plain.stdout.splitlines()[1] == "2\t0.500000\t90.00%\t0.550000\t98.00%\t0.50"
    assert [json.loads(line)["epoch"] for line in as_json.stdout.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "file", "content"),
    [
        (["job_1"], "curves.png", "a png of /v1/jobs/job_1/curves.png"),
        (["job_1", "--out", "a.SVG"], "a.SVG", "a svg of /v1/jobs/job_1/curves.svg"),
        (["job_1", "job_2"], "curves.png", "a png of /v1/curves.png"),
    ],
)
def test_curves_are_saved_in_the_format_of_the_suffix(
    arguments: list[str], file: str, content: str
) -> None:
    service = service_with_jobs()
    with serving(service) as url:
        result = run("curves", *arguments, "--url", url)
    assert (result.exit_code, result.stdout) == (0, f"{file}\n")
    assert Path(file).read_text() == content
    if len(arguments) == 2 and arguments[1] == "job_2":
        assert service.requests[-1].url.params["jobs"] == "job_1,job_2"


@pytest.mark.parametrize(
    ("arguments", "file", "content"),
    [
        ([], "weights.safetensors", "a safetensors of /v1/models/latest/weights.safetensors"),
        (["job_1", "--out", "w.npz"], "w.npz", "a npz of /v1/models/job_1/weights.npz"),
        (["job_1", "--out", "w.json"], "w.json", "a json of /v1/models/job_1/weights.json"),
        (
            ["job_1", "--out", "w.svg", "--layer", "2"],
            "w.svg",
            "a svg of /v1/models/job_1/layers/2/weights.svg",
        ),
    ],
)
def test_weights_are_saved_in_the_format_of_the_suffix(
    arguments: list[str], file: str, content: str
) -> None:
    with serving(service_with_jobs()) as url:
        result = run("weights", *arguments, "--url", url)
    assert (result.exit_code, result.stdout) == (0, f"{file}\n")
    assert Path(file).read_text() == content


@pytest.mark.parametrize(
    ("command", "content"), [("curves", b"a png of"), ("weights", b"a safetensors of")]
)
def test_a_dash_writes_to_standard_output(command: str, content: bytes) -> None:
    with serving(service_with_jobs()) as url:
        result = run(command, "job_1", "--out", "-", "--url", url)
    assert result.stdout_bytes.startswith(content)
    assert not Path("-").exists()


def test_a_file_that_can_not_be_written_is_named() -> None:
    with serving(service_with_jobs()) as url:
        result = run("curves", "job_1", "--out", "none/a.png", "--url", url)
    assert (result.exit_code, result.stderr) == (1, "none/a.png: No such file or directory\n")


@pytest.mark.parametrize(
    ("command", "known"),
    [("curves", ".png or .svg"), ("weights", ".safetensors or .npz or .json or .png or .svg")],
)
def test_another_suffix_is_refused_before_anything_is_sent(command: str, known: str) -> None:
    service = service_with_jobs()
    with serving(service) as url:
        flaw = usage_error(run(command, "job_1", "--out", "a.gif", "--url", url))
    assert f"'a.gif' must end in {known}" in flaw
    assert service.requests == []
