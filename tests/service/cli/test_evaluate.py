"""`mlp-service evaluate`, against the real server."""

import json
from pathlib import Path

from tests.service.conftest import World
from tests.support.command_line import run
from tests.support.live_service import Live, settings


def test_the_figures_of_a_network_are_printed(world: World, datasets_dir: Path) -> None:
    with Live(settings(world.data_dir, datasets_dir)) as server:
        url = str(server.http.base_url)
        plain = run("evaluate", world.linear, "--url", url)
        record = json.loads(run("evaluate", world.linear, "--json", "--url", url).stdout)
        unknown = run("evaluate", world.linear, "--dataset", "nothing", "--url", url)
    rows = [line.split("\t") for line in plain.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(digit) for digit in range(10)]
    assert rows[4][1] == "982"
    assert rows[4][3] == f"{record['classes'][4]['recall']:.2%}"
    worst = next(pair for pair in record["confused"] if pair["actual"] == "4")
    assert rows[4][5] == f"{worst['predicted']} ({worst['count']})"
    assert f"{record['misread']:,} images are misread" in plain.stderr
    assert f"accuracy {record['accuracy']:.2%} (" in plain.stderr
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "nothing" in unknown.stderr
