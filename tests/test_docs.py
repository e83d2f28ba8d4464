"""The guides describe all that the service has, and nothing that it does not have."""

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any, get_args

import pytest
import typer
import yaml
from typer.core import TyperGroup

import mlp_client as client
from mlp_client.job_spec import PRESETS, AdamW, Augmentation, Sgd, Spec
from mlp_client.job_state import State
from mlp_client.predictions import Prediction, Predictions
from mlp_client.records import Event, Job
from service.api.predict_schema import Returned
from service.api.problem_types import PROBLEM_TYPES
from service.app import create_app
from service.settings import Settings
from service.store.api_keys import SCOPES
from tests.support.documents import (
    DOCUMENTS,
    GUIDES,
    ROOT,
    anchors,
    blocks,
    links,
    quoted,
    rows,
    section,
    text_of,
)

METHODS = {"get", "post", "put", "patch", "delete"}
PAGES = ("GET /openapi.json", "GET /docs")
"""Not in the OpenAPI document, which describes the rest."""


def first_cells(document: str, title: str) -> list[str]:
    """Return everything that is quoted in the first cells of the tables under a heading."""
    return [name for row in rows(section(document, title)) for name in quoted(row[0])]


def defaults_of_settings() -> dict[str, str]:
    """Return the default of each variable in the table of settings, as it is written there."""
    table: dict[str, str] = {}
    for names, defaults, _ in rows(section("docs/settings.md", "All settings")):
        variables = quoted(names)
        parts = defaults.split(", ") if len(variables) > 1 else [defaults]
        table |= dict(zip(variables, parts, strict=True))
    return table


# --- Settings -------------------------------------------------------------------------------------


def test_every_setting_is_in_the_table_and_no_other() -> None:
    assert set(defaults_of_settings()) == {f"MLP_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_settings_default_is_the_one_in_the_table(name: str) -> None:
    written = defaults_of_settings()[f"MLP_{name.upper()}"]
    default = Settings.model_fields[name].default
    if default not in (None, [], ""):
        shown = {
            bool: lambda: str(int(default)),
            list: lambda: ",".join(default),
            float: lambda: f"{default:.0e}".replace("+", ""),
        }.get(type(default), lambda: str(default))()
        assert written.strip("`") == ("2 GiB" if default == 2 * 1024**3 else shown)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_env_file_that_is_shown_holds_settings() -> None:
    [example] = blocks("docs/settings.md", "ini")
    names = re.findall(r"^MLP_(\w+)=", example, re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


# --- Routes and jobs ------------------------------------------------------------------------------


def routes() -> set[str]:
    document = create_app(Settings()).openapi()
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in METHODS & set(item)
    }


def test_every_route_is_in_the_table_and_no_other() -> None:
    table = rows(section("docs/api.md", "Routes"))
    written = [route for row in table for route in quoted(row[0])]
    assert sorted(written) == sorted(routes() | set(PAGES))


def test_every_field_of_a_spec_is_in_the_table_with_its_default() -> None:
    table = {
        name: row[1] for row in rows(section("docs/jobs.md", "The spec")) for name in quoted(row[0])
    }
    assert set(table) == set(Spec.model_fields)
    for name, written in table.items():
        default = Spec().model_dump()[name]
        if isinstance(default, int | float):
            assert float(written.strip("`")) == default
        if isinstance(default, str) and default:
            assert written == f'`"{default}"`'
    assert table["hidden"] == "`[128]`"


def test_every_preset_is_in_the_tables_and_no_other() -> None:
    assert first_cells("docs/jobs.md", "Presets") == list(PRESETS)
    compared = first_cells("README.md", "How it compares with the course assignment")
    assert compared == [name for name in PRESETS if name != "mlp-augmented"]


def test_every_parameter_of_an_optimizer_is_in_the_table_with_its_default() -> None:
    table = rows(section("docs/jobs.md", "Optimizers"))
    for row, optimizer in zip(table, (Sgd(), AdamW(type="adamw")), strict=True):
        parameters = re.findall(r"`(\w+)` ([\w.]+)", row[1])
        values = {name: json.loads(value) for name, value in parameters}
        assert {"type": json.loads(quoted(row[0])[1])} | values == optimizer.model_dump()


def test_every_field_of_the_augmentation_is_in_the_table_with_its_default() -> None:
    table = rows(section("docs/jobs.md", "Augmentation"))
    values = {quoted(name)[0]: float(default) for name, default, _ in table}
    assert values == Augmentation().model_dump()


def test_every_field_of_a_job_is_in_the_table_and_no_other() -> None:
    assert sorted(first_cells("docs/jobs.md", "The answer")) == sorted(Job.model_fields)


def test_every_state_is_named_and_described() -> None:
    [line] = re.findall(r"^States: (.*?)\.$", section("docs/jobs.md", "States"), re.MULTILINE)
    states = [str(state) for state in State]
    assert quoted(line) == states
    assert first_cells("docs/jobs.md", "States")[: len(states)] == states


def test_every_event_is_described() -> None:
    types = get_args(Event.model_fields["type"].annotation)
    assert set(first_cells("docs/jobs.md", "Watch a job")) == {*types, "progress"}


@pytest.mark.parametrize(
    ("document", "title"),
    [("docs/jobs.md", "States"), ("docs/predictions.md", "Warnings")],
)
def test_every_code_that_is_described_can_occur(document: str, title: str) -> None:
    packages = (ROOT / name for name in ("service", "mlp_client"))
    code = "\n".join(path.read_text() for root in packages for path in root.rglob("*.py"))
    named = first_cells(document, title)
    assert named
    assert [name for name in named if f'"{name}"' not in code] == []


def test_every_scope_is_described() -> None:
    assert tuple(first_cells("docs/keys.md", "Scopes")) == SCOPES


ASKED_FOR = {"abstained", "probabilities", "rival", "activations", "votes", "contributions"}
"""The fields of a prediction that are absent unless an option asks for them."""


OF_TABLES = {"clipped"}
"""The fields of a prediction for a row of a table only."""


def test_every_value_of_return_is_described() -> None:
    assert tuple(first_cells("docs/predictions.md", "Why this digit")) == get_args(Returned)


def test_the_answer_to_a_prediction_is_described() -> None:
    fields = {*Predictions.model_fields, *Prediction.model_fields} - {"object", "predictions"}
    assert set(first_cells("docs/predictions.md", "One image")) == fields


@pytest.mark.parametrize("document", ["README.md", "docs/predictions.md"])
def test_a_prediction_that_is_shown_has_the_form_of_an_answer(document: str) -> None:
    [shown] = [block for block in blocks(document, "json") if '"predictions"' in block]
    answer = json.loads(shown)
    assert set(answer) == set(Predictions.model_fields) - {"tempered"}
    fields = set(Prediction.model_fields) - {"problem", *ASKED_FOR, *OF_TABLES}
    assert set(answer["predictions"][0]) == fields


# --- Errors ---------------------------------------------------------------------------------------


def test_the_table_of_problems_is_the_one_in_the_code() -> None:
    rows = [
        f"| {it.status} | `{code}` | {it.title} | {it.advice} |"
        for code, it in PROBLEM_TYPES.items()
    ]
    assert re.findall(r"^\| \d.*$", text_of("docs/problems.md"), re.MULTILINE) == rows
    assert all(re.fullmatch(r"[A-Z].*[^.]\.", kind.advice) for kind in PROBLEM_TYPES.values())


def test_every_problem_that_is_shown_exists() -> None:
    shown = [
        code for guide in GUIDES for code in re.findall(r'"code": "([a-z-]+)"', text_of(guide))
    ]
    assert shown
    assert set(shown) <= set(PROBLEM_TYPES)


def test_every_error_of_the_client_is_described() -> None:
    errors = {
        name
        for name in client.__all__
        if isinstance(getattr(client, name), type) and issubclass(getattr(client, name), Exception)
    }
    assert set(first_cells("docs/python.md", "Errors")) == errors


# --- Commands -------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Return the commands that `mlp-service` has, by their names."""
    [script] = entry_points(group="console_scripts", name="mlp-service")
    program = typer.main.get_command(script.load())
    assert isinstance(program, TyperGroup)
    found: dict[str, Any] = {}
    for name, command in program.commands.items():
        if isinstance(command, TyperGroup):
            found |= {f"{name} {inner}": it for inner, it in command.commands.items()}
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            found[name] = command
    return found


def test_every_command_has_a_section_and_no_other() -> None:
    titles = re.findall(r"^## mlp-service (.*)$", text_of("docs/cli.md"), re.MULTILINE)
    assert sorted(titles) == sorted(commands())


@pytest.mark.parametrize("name", commands())
def test_every_option_of_a_command_is_in_its_table_and_no_other(name: str) -> None:
    options = {
        option
        for parameter in commands()[name].params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    }
    assert set(first_cells("docs/cli.md", f"mlp-service {name}")) == options


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for code in (*quoted(text_of(document)), *blocks(document, "sh"))
        for target in re.findall(r"^make ([a-z]+)", code, re.MULTILINE)
    }
    assert named
    assert named <= targets


def test_every_part_of_a_benchmark_or_campaign_that_is_named_exists() -> None:
    folders = {"bench": "benchmarks/{}.py"}
    folders |= {suite: f"tests/{suite}/test_{{}}.py" for suite in ("chaos", "attack")}
    named = {
        folders[target].format(part)
        for document in DOCUMENTS
        for target, part in re.findall(r"make (\w+) K=(\w+)", text_of(document))
    }
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


# --- Deployment -----------------------------------------------------------------------------------


def manifest(kind: str) -> Any:
    manifests = [yaml.safe_load(block) for block in blocks("docs/deployment.md", "yaml")]
    [found] = [it for it in manifests if it.get("kind") == kind]
    return found


def container_of_the_manifest() -> Any:
    [container] = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return container


def test_the_probes_ask_for_routes_that_exist_at_the_port_of_the_container() -> None:
    container = container_of_the_manifest()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        assert f"GET {get['path']}" in routes()
        assert {"name": get["port"], "containerPort": 8000} in container["ports"]


def test_the_ingress_leads_to_the_service_and_the_service_to_the_deployment() -> None:
    [rule] = manifest("Ingress")["spec"]["rules"]
    [path] = rule["http"]["paths"]
    service, deployment = manifest("Service"), manifest("Deployment")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"] == {"name": service["spec"]["ports"][0]["name"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    env = {item["name"]: item["value"] for item in container_of_the_manifest()["env"]}
    assert rule["host"] in env["MLP_ALLOWED_HOSTS"].split(",")
    assert Settings(
        allowed_hosts=env["MLP_ALLOWED_HOSTS"],
        trusted_proxies=env["MLP_TRUSTED_PROXIES"],
        idle_seconds=env["MLP_IDLE_SECONDS"],
    )


def test_the_manifest_sets_only_settings_that_exist() -> None:
    names = [item["name"] for item in container_of_the_manifest()["env"]]
    assert {name.removeprefix("MLP_").lower() for name in names} <= set(Settings.model_fields)


def test_every_metric_that_is_described_can_be_counted() -> None:
    described = first_cells("docs/deployment.md", "Health and metrics")
    code = "\n".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    for name in [name for name in described if not name.startswith("/")]:
        assert f'"{name.removesuffix("_total")}"' in code


# --- The documents themselves ---------------------------------------------------------------------


def test_the_readme_is_a_first_screen() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_every_guide_is_linked_from_the_readme() -> None:
    linked = {path for path, _ in links("README.md")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert pages <= linked


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_local_link_leads_somewhere(name: str) -> None:
    for path, anchor in links(name):
        assert (ROOT / path).exists(), path
        if anchor:
            assert anchor in anchors(path), f"{path}#{anchor}"


@pytest.mark.parametrize("name", [*GUIDES, "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    folders = ("mlp_core", "mlp_client", "service", "tests", "benchmarks", "docs")
    pattern = rf"(?:{'|'.join(folders)})/[\w/.-]*\w"
    prose = re.sub(r"^( *)```.*?^\1```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL)
    named = {path for text in quoted(prose) for path in re.findall(rf"^{pattern}$", text)}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    missing = {path for path in named if not any(it.startswith(path) for it in tracked)}
    assert missing == set()


@pytest.mark.parametrize("name", GUIDES)
def test_every_module_that_is_imported_exists(name: str) -> None:
    for block in blocks(name, "python"):
        for module in re.findall(r"^(?:from|import) (mlp_\w+)", block, re.MULTILINE):
            importlib.import_module(module)
            assert module in sys.modules
