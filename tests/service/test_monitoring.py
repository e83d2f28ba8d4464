"""The dashboard and the alert rules in deploy/ ask for metrics that a running service has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""Prometheus itself makes these, with these labels."""
TARGET_LABELS = {"job", "instance"}
SELECTOR = re.compile(r"\b((?:mlp|http)_\w+|up)\b(?:\{([^}]*)\})?")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"].removeprefix("label_values(").rpartition(",")[0]


@pytest.fixture(scope="session")
def published(reader: TestClient) -> dict[str, set[str]]:
    """The names of a live service's samples, with their labels, after requests of every kind."""
    predict = "/v1/models/latest/predict"
    small = {"Content-Type": "application/octet-stream"}
    pixels = bytes(300) + bytes([255] * 100) + bytes(384)
    assert reader.post(predict, content=pixels, headers=small).status_code == 200
    faint = [[130 if 40 < x < 50 and 20 < y < 80 else 100 for x in range(100)] for y in range(100)]
    answer = reader.post(predict, json={"inputs": [{"pixels": faint}]})
    assert answer.json()["predictions"][0]["warnings"]
    assert reader.get("/nowhere").status_code == 404
    found = dict(OF_PROMETHEUS)
    for family in families(reader.get("/metrics").text):
        for sample in family.samples:
            found[sample.name] = {*sample.labels, *TARGET_LABELS}
    return found


@pytest.mark.parametrize("expression", [*expressions()])
def test_every_metric_and_label_that_is_asked_for_is_published(
    expression: str, published: dict[str, set[str]]
) -> None:
    used = SELECTOR.findall(re.sub(r"\b(?:by|on|without) ?\([^)]*\)", "", expression))
    names = {name for name, _ in used if name not in ("http_route", "http_request_method")}
    assert names
    assert names <= published.keys()
    for name, matchers in used:
        if name in published:
            assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= published[name]
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby ?\(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    assert grouped <= set.union(*(published[name] for name in names))


def test_everything_that_is_published_is_on_the_dashboard(published: dict[str, set[str]]) -> None:
    shown = " ".join(
        target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]
    )
    own = {name for name in published if name.startswith("mlp_")}
    assert {name for name in own if name not in shown} == {"mlp_predictions_refused_total"}


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) == 7
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        assert len(rule["annotations"]["description"]) > 50


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    found = dashboard()
    assert found["schemaVersion"] >= 39
    assert found["uid"]
    [source, _] = found["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, f"{panel['title']} lies on another panel"
                cells.add((x, y))
        assert panel["type"] in ("stat", "timeseries")
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_prometheus_accepts_the_rules_and_expressions(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    interval = re.compile(r"\$__rate_interval")
    written = {
        "groups": [
            {
                "name": "dashboard",
                "rules": [
                    {"record": f"panel:{n}", "expr": interval.sub("5m", expression)}
                    for n, expression in enumerate(expressions())
                ],
            }
        ]
    }
    (tmp_path / "dashboard.yml").write_text(json.dumps(written))
    for file in (ALERTS, tmp_path / "dashboard.yml"):
        checked = subprocess.run(
            [promtool, "check", "rules", file], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
