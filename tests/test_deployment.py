"""What the image, the compose file and the pins promise, read from the files themselves."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from service.settings import Settings
from service.work.dispatcher import DRAIN_SECONDS

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


def stages() -> dict[str, Stage]:
    """Return the stages by their names; the last one, which is built by default, has none."""
    named = {}
    for stage in dockerfile():
        _, name = re.fullmatch(r"(\S+)(?: AS (\S+))?", stage[0][1]).groups()  # type: ignore[union-attr]
        named[name or ""] = stage
    return named


def ancestry(name: str = "") -> Stage:
    """Return the instructions of a stage, after those of the stages that it begins with."""
    stage = stages()[name]
    parent = stage[0][1].split()[0]
    return [*(ancestry(parent) if parent in stages() else []), *stage]


def final(word: str, stage: str = "") -> list[str]:
    return [rest for instruction, rest in ancestry(stage) if instruction == word]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in final("ENV") for pair in rest.split())


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def server() -> dict[str, Any]:
    return dict(compose()["services"]["server"])


OURS = ("server", "api", "host", "ray-api", "ray-head", "ray-node")
"""The services of the compose file that run images of this Dockerfile."""


def ours(name: str) -> dict[str, Any]:
    return dict(compose()["services"][name])


def test_all_stages_of_the_image_start_from_the_same_base() -> None:
    bases = [stage[0][1].split()[0] for stage in dockerfile()]
    assert set(bases) == {"${BASE}", "service"}
    assert bases[0] == "${BASE}"


def test_what_is_built_by_default_is_the_service_without_ray() -> None:
    assert dockerfile()[-1] == [("FROM", "service")]
    assert not any("ray" in rest for _, rest in ancestry())


def test_the_image_gets_nothing_from_the_builder_but_the_environment() -> None:
    assert final("COPY") == ["--from=builder /app/.venv /app/.venv"]
    assert final("ADD") == []


def test_the_image_installs_its_dependencies_by_hash_and_the_project_without_any() -> None:
    instructions = [instruction for stage in dockerfile() for instruction in stage]
    installs = [rest for word, rest in instructions if word == "RUN" and " install " in rest]
    pip = [rest for rest in installs if rest.startswith("pip")]
    assert [re.sub(r".* install ", "", rest) for rest in pip] == [
        "--require-hashes -r requirements/${REQUIREMENTS}.txt",
        "--require-hashes -r requirements/build.txt",
        "--no-deps /wheels/*.whl",
        "--require-hashes -r requirements/ray.txt",
    ]
    assert "pip wheel --no-deps --no-build-isolation" in pip[2]
    assert ("ARG", "REQUIREMENTS=runtime") in stages()["builder"]


def test_ray_runs_as_the_user_of_the_service_in_an_environment_of_its_own_behind_a_token() -> None:
    assert final("COPY", "ray")[1:] == ["--from=ray-builder /opt/ray /opt/ray"]
    assert final("USER", "ray") == ["10001:10001"]
    assert json.loads(final("ENTRYPOINT", "ray")[-1]) == ["/opt/ray/bin/ray"]
    environment = dict(pair.split("=", 1) for rest in final("ENV", "ray") for pair in rest.split())
    assert environment["RAY_AUTH_MODE"] == "token"
    assert int(environment["RAY_JOB_STOP_WAIT_TIME_S"]) > DRAIN_SECONDS


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


@pytest.mark.parametrize("name", OURS)
def test_image_and_compose_file_set_only_settings_that_exist(name: str) -> None:
    given = {**image_environment(), **ours(name).get("environment", {})}
    names = [name for name in given if name.startswith("MLP_")]
    assert {name.removeprefix("MLP_").lower() for name in names} <= set(Settings.model_fields)


def test_compose_publishes_on_the_loopback_address_only() -> None:
    published = [service for service in compose()["services"].values() if "ports" in service]
    assert len(published) == 3
    for service in published:
        for port in service["ports"]:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert not any("network_mode" in service for service in compose()["services"].values())


@pytest.mark.parametrize("name", ["server", "api", "ray-api"])
def test_compose_publishes_the_port_that_the_image_serves_on(name: str) -> None:
    [port] = ours(name)["ports"]
    assert port.split(":")[2] == image_environment()["MLP_PORT"] == final("EXPOSE")[0]


@pytest.mark.parametrize("name", OURS)
def test_compose_gives_jobs_time_to_be_saved(name: str) -> None:
    grace = re.fullmatch(r"(\d+)s", ours(name)["stop_grace_period"])
    assert grace
    assert int(grace[1]) >= DRAIN_SECONDS + 4


@pytest.mark.parametrize("name", OURS)
def test_compose_has_an_init_process_and_restarts(name: str) -> None:
    assert ours(name)["init"] is True
    assert ours(name)["restart"] == "unless-stopped"


def test_compose_lets_the_server_write_to_its_data_and_to_tmp_only() -> None:
    [volume] = server()["volumes"]
    volume, target = volume.split(":")
    assert target == "/data"
    assert volume in compose()["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_compose_lets_containers_write_to_volumes_and_to_tmp_only(name: str) -> None:
    """Members of a cluster share no data directory, so each gets a volume without a name."""
    assert ours(name)["read_only"] is True
    assert [mount.split(":")[0] for mount in ours(name)["tmpfs"]] == ["/tmp"]
    assert image_environment()["MPLCONFIGDIR"].startswith("/tmp/")
    assert ("volumes" in ours(name)) == (name == "server")


@pytest.mark.parametrize("name", OURS)
def test_compose_takes_privileges_away_and_sets_limits(name: str) -> None:
    assert ours(name)["cap_drop"] == ["ALL"]
    assert "cap_add" not in ours(name)
    assert "privileged" not in ours(name)
    assert ours(name)["security_opt"] == ["no-new-privileges:true"]
    assert ours(name)["pids_limit"] > 0
    assert ours(name)["mem_limit"]


def test_the_service_of_one_machine_starts_by_default_and_nothing_else_does() -> None:
    services = compose()["services"].items()
    assert [name for name, service in services if "profiles" not in service] == ["server"]


@pytest.mark.parametrize("name", ["api", "host", "ray-api", "ray-node"])
def test_members_of_a_cluster_share_a_store_and_have_its_drivers(name: str) -> None:
    environment, host = ours(name)["environment"], ours("host")["environment"]
    assert environment == environment | host
    assert ours(name)["build"]["args"] == {"REQUIREMENTS": "cluster"}
    for needed in ours(name)["depends_on"]:
        assert set(ours(name)["profiles"]) <= set(compose()["services"][needed]["profiles"])


def test_secrets_of_the_compose_file_are_files_that_no_environment_shows() -> None:
    for service in compose()["services"].values():
        assert set(service.get("secrets", [])) <= set(compose()["secrets"])
        assert not [name for name in service.get("environment", {}) if name.endswith("TOKEN")]
    assert urlsplit(ours("host")["environment"]["MLP_DATABASE_URL"]).password is None
    assert all(secret["file"].startswith("secrets/") for secret in compose()["secrets"].values())
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_ray_starts_hosts_on_nodes_that_have_cores_for_them_and_not_on_the_head() -> None:
    slots = int(ours("ray-api")["environment"]["MLP_FLEET_SLOTS"])
    assert f"--num-cpus={slots}" in ours("ray-node")["command"]
    assert "--num-cpus=0" in ours("ray-head")["command"]
    assert ours("ray-head")["build"]["target"] == ours("ray-node")["build"]["target"] == "ray"


def test_the_build_context_is_an_allow_list_with_all_the_wheel_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = ("runtime", "cluster", "build", "ray")
    needed = {"pyproject.toml", *(f"requirements/{name}.txt" for name in lists)}
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
