"""What all commands have in common."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer

from service import __version__
from service.cli.main import app
from service.cli.terminal import errors_as_messages, printable
from tests.support.command_line import run
from tests.support.fake_service import FakeService, serving

ROOT = Path(__file__).parents[3]
COMMANDS = (
    *(
        "train",
        "predict",
        "datasets",
        "jobs",
        "show",
        "watch",
        "pause",
        "resume",
        "cancel",
        "delete",
    ),
    *(
        "epochs",
        "curves",
        "evaluate",
        "weights",
        "serve",
        "demo",
        "keys",
        "backup",
        "health",
        "openapi",
    ),
)
BELOW = (
    *("keys create", "keys list", "keys revoke", "jobs prune"),
    *("datasets add", "datasets list", "datasets report", "datasets delete"),
)
PRINT_AND_EXIT = ("help", "version", "install_completion", "show_completion")


def test_the_installed_command_is_this_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [(name, target)] = project["scripts"].items()
    assert name == "mlp-service"
    assert EntryPoint(name, target, "console_scripts").load() is app


def test_help_names_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "Usage: mlp-service" in done.stdout
    assert all(f" {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS, *BELOW])
def test_every_command_explains_itself(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"Usage: root {command} " in result.stdout


def parameters(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the arguments and options of all commands, each with the command's name."""
    for name, below in getattr(command, "commands", {}).items():
        yield from parameters(below, f"{path} {name}")
    yield from ((path, parameter) for parameter in command.params)


def test_every_option_has_a_help_text_and_shows_its_default() -> None:
    found = list(parameters(typer.main.get_command(app)))
    assert len(found) > 60
    for command, parameter in found:
        assert getattr(parameter, "help", None), f"{command}: {parameter.name} has no help"
        shown = getattr(parameter, "show_default", None)
        has_default = parameter.required or parameter.default or isinstance(shown, str)
        assert has_default or parameter.name in PRINT_AND_EXIT, (
            f"{command}: {parameter.name} shows no default"
        )


@pytest.mark.parametrize("arguments", [["-h"], ["jobs", "-h"], ["train", "-h"], ["keys", "-h"]])
def test_a_short_option_shows_the_help_too(arguments: list[str]) -> None:
    assert "Usage: root" in run(*arguments).stdout


def test_a_shell_can_complete_the_commands() -> None:
    words = {"COMP_WORDS": "mlp-service wa", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from service.cli.main import app; app(prog_name='mlp-service')"],
        env={**os.environ, **words, "_MLP_SERVICE_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["watch"]


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"mlp-service {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "health", "demo"])
def test_an_invalid_setting_is_named_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_PORT", "eighty")
    result = run(command)
    assert result.exit_code == 2
    assert result.stderr.startswith("MLP_PORT: must be a whole number")
    assert result.stderr.count("\n") == 1


def test_an_invalid_option_is_named_by_its_setting() -> None:
    result = run("serve", "--port", 99999)
    assert (result.exit_code, result.stderr.split(":")[0]) == (2, "MLP_PORT")


def test_the_scheme_of_an_address_may_be_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FakeService()) as url:
        address = url.removeprefix("http://")
        assert run("health", "--url", address).stdout == f"{url} is ready\n"
        assert run("train", "--no-wait", "--url", address).stdout == f"{url}/v1/jobs/job_1\n"
        monkeypatch.setenv("MLP_SERVICE_URL", address)
        assert run("health").exit_code == 0


def test_ctrl_c_during_a_request_says_that_a_submitted_job_continues(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as caught, errors_as_messages():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert "continues" in capsys.readouterr().err


def test_the_text_of_a_server_can_not_control_the_terminal() -> None:
    assert printable("\x1b]0;owned\x07a\nb") == "�]0;owned�a\nb"
