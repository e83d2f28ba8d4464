"""What the README promises is all there is, and all there is stands in the README."""

import re
from pathlib import Path

import pytest

from mlp_client.job_state import State
from mlp_client.spec import Spec
from service.api.problem_types import PROBLEM_TYPES
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
METHODS = {"get", "post", "put", "patch", "delete"}
PAGES = ("GET /openapi.json", "GET /docs")
"""Not in the OpenAPI document, which describes the rest."""


def section(title):
    """Return the text under a heading `## title`."""
    return re.split(r"^## ", README.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def rows(title):
    """Return the cells of the tables under a heading, without heads and rules."""
    lines = re.findall(r"^\|(.*)\|$", section(title), re.MULTILINE)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [row for row in cells[1:] if not set("".join(row)) <= set("-| ")]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def settings():
    """Return the default of each variable of the settings' table, as it is written there."""
    table = {}
    for names, defaults, _ in rows("Settings"):
        variables = quoted(names)
        parts = defaults.split(", ") if len(variables) > 1 else [defaults]
        table |= dict(zip(variables, parts, strict=True))
    return table


def routes():
    document = create_app(Settings()).openapi()
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in METHODS & set(item)
    }


def test_every_setting_stands_in_the_table_and_no_other():
    assert set(settings()) == {f"MLP_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_settings_default_is_the_one_in_the_table(name):
    written = settings()[f"MLP_{name.upper()}"]
    default = Settings.model_fields[name].default
    if default is not None:
        shown = {
            bool: lambda: str(int(default)),
            list: lambda: ",".join(default),
            float: lambda: f"{default:.0e}".replace("+", ""),
        }.get(type(default), lambda: str(default))()
        assert written.strip("`") == ("2 GiB" if default == 2 * 1024**3 else shown)


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())


def test_every_route_stands_in_the_table_and_no_other():
    written = [route for row in rows("Routes") for route in quoted(row[0])]
    assert sorted(written) == sorted(routes() | set(PAGES))


def test_every_field_of_a_spec_stands_in_the_table_with_its_default():
    table = {name: row[1] for row in rows("A job") for name in quoted(row[0])}
    assert set(table) == set(Spec.model_fields)
    for name, written in table.items():
        default = Spec().model_dump()[name]
        if isinstance(default, int | float):
            assert float(written.strip("`")) == default
        if isinstance(default, str) and default:
            assert written == f'`"{default}"`'
    assert table["hidden"] == "`[128]`"


def test_every_state_is_named():
    [line] = re.findall(r"^States: (.*?);", section("A job"), re.MULTILINE)
    assert quoted(line) == [str(state) for state in State]


def test_the_table_of_problems_is_the_one_in_the_code():
    page = (ROOT / "docs" / "problems.md").read_text()
    rows = [
        f"| {it.status} | `{code}` | {it.title} | {it.advice} |"
        for code, it in PROBLEM_TYPES.items()
    ]
    assert re.findall(r"^\| \d.*$", page, re.MULTILINE) == rows
    assert all(re.fullmatch(r"[A-Z].*[^.]\.", kind.advice) for kind in PROBLEM_TYPES.values())


def test_every_problem_that_is_shown_exists():
    shown = re.findall(r'"code": "([a-z-]+)"', README)
    assert shown
    assert set(shown) <= set(PROBLEM_TYPES)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DATASETS.md"])
def test_every_local_link_leads_somewhere(name):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
