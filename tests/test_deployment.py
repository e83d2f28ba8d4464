"""What the image, the compose file and the pins promise, read from the files themselves."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[1]
Stage = list[tuple[str, str]]
"""The instructions of a build stage: each is a word, and the rest of the line."""
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def dockerfile() -> list[Stage]:
    """Return the Dockerfile's (instruction, rest) pairs, one list for each stage."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((word, rest))
    return stages


def final(word: str) -> list[str]:
    return [rest for instruction, rest in dockerfile()[-1] if instruction == word]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in final("ENV") for pair in rest.split())


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def server() -> dict[str, Any]:
    [service] = compose()["services"].values()
    return dict(service)


def test_both_stages_of_the_image_start_from_the_same_base() -> None:
    builder, last = dockerfile()
    assert builder[0] == ("FROM", f"{last[0][1]} AS builder")


def test_the_image_gets_nothing_from_the_builder_but_the_environment() -> None:
    assert final("COPY") == ["--from=builder /app/.venv /app/.venv"]
    assert final("ADD") == []


def test_the_image_installs_its_dependencies_by_hash_and_the_project_without_any() -> None:
    builder, last = dockerfile()
    installs = [rest for word, rest in builder + last if word == "RUN" and " install " in rest]
    pip = [rest for rest in installs if rest.startswith("pip")]
    assert [re.sub(r".* install ", "", rest) for rest in pip] == [
        "--require-hashes -r requirements/runtime.txt",
        "--require-hashes -r requirements/build.txt",
        "--no-deps /wheels/*.whl",
    ]
    assert "pip wheel --no-deps --no-build-isolation" in pip[-1]


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    assert final("USER") == ["10001:10001"]


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD"])
def test_the_command_receives_signals_because_no_shell_runs_it(word: str) -> None:
    [rest] = final(word)
    assert all(isinstance(part, str) for part in json.loads(rest))


def test_the_image_serves_and_stops_on_sigterm() -> None:
    assert json.loads(final("ENTRYPOINT")[0]) + json.loads(final("CMD")[0]) == [
        "mlp-service",
        "serve",
    ]
    assert final("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_checks_its_health_without_a_shell() -> None:
    [rest] = final("HEALTHCHECK")
    assert json.loads(rest.split(" CMD ")[1]) == ["mlp-service", "health"]


def test_the_image_keeps_its_data_in_its_volume() -> None:
    assert final("VOLUME") == ['["/data"]']
    assert image_environment()["MLP_DATA_DIR"] == "/data"


def test_the_image_can_not_write_where_its_code_is() -> None:
    assert final("WORKDIR") == ["/app"]
    assert not any("/app" in rest for rest in final("RUN"))


def test_the_image_itself_does_not_allow_a_public_address_without_keys() -> None:
    assert image_environment()["MLP_HOST"] == "0.0.0.0"
    assert "MLP_INSECURE" not in image_environment()


def test_image_and_compose_file_set_only_settings_that_exist() -> None:
    names = [n for n in {**image_environment(), **server()["environment"]} if n.startswith("MLP_")]
    assert {name.removeprefix("MLP_").lower() for name in names} <= set(Settings.model_fields)


def test_compose_publishes_on_the_loopback_address_only() -> None:
    assert server()["ports"]
    for port in server()["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert "network_mode" not in server()


def test_compose_publishes_the_port_that_the_image_serves_on() -> None:
    [port] = server()["ports"]
    assert port.split(":")[2] == image_environment()["MLP_PORT"] == final("EXPOSE")[0]


def test_compose_gives_the_server_time_to_save_its_jobs() -> None:
    grace = re.fullmatch(r"(\d+)s", server()["stop_grace_period"])
    assert grace
    assert int(grace[1]) >= 10


def test_compose_has_an_init_process_and_restarts() -> None:
    assert server()["init"] is True
    assert server()["restart"] == "unless-stopped"


def test_compose_lets_the_server_write_to_its_data_and_to_tmp_only() -> None:
    assert server()["read_only"] is True
    assert [mount.split(":")[0] for mount in server()["tmpfs"]] == ["/tmp"]
    [volume] = server()["volumes"]
    name, target = volume.split(":")
    assert target == "/data"
    assert name in compose()["volumes"]
    assert image_environment()["MPLCONFIGDIR"].startswith("/tmp/")


def test_compose_takes_privileges_away_and_sets_limits() -> None:
    assert server()["cap_drop"] == ["ALL"]
    assert "cap_add" not in server()
    assert "privileged" not in server()
    assert server()["security_opt"] == ["no-new-privileges:true"]
    assert server()["pids_limit"] > 0
    assert server()["mem_limit"]


def test_the_build_context_is_an_allow_list_with_all_the_wheel_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "requirements/runtime.txt", "requirements/build.txt"}
    needed |= {project["project"]["readme"]}
    needed |= {name for name in project["project"]["license-files"] if "*" not in name}
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert allowed == needed


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_pin_carries_a_hash(path: Path) -> None:
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    pins = [pin for pin in re.sub(r"\\\n", "", text).splitlines() if pin]
    assert pins
    for pin in pins:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", pin), pin


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_pins_name_no_index_and_no_address(path: Path) -> None:
    assert not re.search(
        r"://|^-|--(extra-)?index-url|--find-links", path.read_text(), re.MULTILINE
    )


def test_ci_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "make ci"
