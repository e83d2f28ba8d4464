"""The report of the campaigns can't say more than was measured."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import campaign as module
from tests.support.campaign import ROOT, SUITES, Campaign, Figure, kept_figures

pytest_plugins = ["pytester"]
REPORT = "Before.\n<!-- figures kills -->\n<!-- end -->\n<!-- figures bombs -->\n<!-- end -->\n"
FAILED = "tests that failed"


@pytest.fixture(autouse=True)
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where figures are kept here, with one of each of two campaigns."""
    monkeypatch.setattr(module, "FIGURES", tmp_path / "reliability.json")
    monkeypatch.setattr(module, "REPORT", tmp_path / "reliability.md")
    module.REPORT.write_text(REPORT)
    ran("kills", ("killed in 5 s", True))
    ran("bombs", ("slowest", True))
    return tmp_path


def ran(name: str, *figures: tuple[str, bool], failed: bool = False, full: bool = True) -> None:
    """Let a campaign of one test run, and keep its figures."""
    campaign = Campaign("chaos", name, full=full)
    for what, met in figures:
        campaign.figure(what, target="0", measured=1, met=met)
    campaign.note("test_one", failed=failed)
    campaign.keep()


def kept(name: str) -> dict[str, Figure]:
    return {figure.what: figure for figure in kept_figures() if figure.campaign == name}


def test_the_figures_of_a_campaign_replace_its_previous_ones_and_no_others() -> None:
    ran("kills", ("killed in 7 s", False))
    assert list(kept("kills")) == ["killed in 7 s", FAILED]
    assert list(kept("bombs")) == ["slowest", FAILED]
    assert "5 s" not in module.REPORT.read_text()


def test_a_campaign_that_fails_early_leaves_no_figure_of_its_last_success() -> None:
    ran("kills", failed=True)
    [found] = kept("kills").values()
    assert (found.what, found.target, found.measured) == (FAILED, "0", "1 of 1: `test_one`")
    assert not found.met
    assert f"| {FAILED} | 0 | 1 of 1: `test_one` | **no** |" in module.REPORT.read_text()


def test_a_campaign_reports_that_no_test_failed() -> None:
    found = kept("kills")[FAILED]
    assert (found.measured, found.met) == ("0 of 1", True)


def test_a_test_has_failed_if_any_part_of_it_has() -> None:
    campaign = Campaign("chaos", "kills", full=True)
    campaign.note("test_one[a|b]", failed=True)
    campaign.note("test_one[a|b]", failed=False)
    campaign.note("test_two", failed=False)
    campaign.keep()
    assert kept("kills")[FAILED].measured == "1 of 2: `test_one[a|b]`"
    assert r"1 of 2: `test_one[a\|b]`" in module.REPORT.read_text()


def test_a_small_run_and_one_in_which_nothing_ran_keep_nothing() -> None:
    before = module.FIGURES.read_text()
    ran("kills", ("killed", False), full=False)
    Campaign("chaos", "kills", full=True).keep()
    assert module.FIGURES.read_text() == before


def test_only_changes_of_what_was_measured_mark_the_commit(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *arguments], cwd=docs, check=True)

    monkeypatch.setattr(module, "ROOT", docs)
    for folder in ("docs", *module.MEASURED):
        (docs / folder).mkdir()
        (docs / folder / "file").touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    commits = []
    for changed in ("docs", "tests"):
        (docs / changed / "file").write_text("changed")
        ran("kills")
        commits.append(kept("kills")[FAILED].commit)
    assert [commit[-1] == "+" for commit in commits] == [False, True]


TESTS = """
import pytest

@pytest.fixture(scope="session")
def machine():
    raise OSError("broken")

@pytest.fixture
def untidy():
    yield
    raise OSError("left open")

def test_good(campaign):
    campaign.figure("good", target="0", measured=0, met=True)

def test_bad():
    assert False

def test_without_a_machine(campaign, machine):
    pass

def test_untidy(untidy):
    pass

@pytest.mark.skip
def test_elsewhere():
    pass
"""


def test_every_test_that_fails_in_the_file_of_a_campaign_is_reported(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        "from tests.conftest import campaign, pytest_addoption, pytest_runtest_makereport"
    )
    (pytester.mkdir("chaos") / "test_kills.py").write_text(TESTS)
    pytester.inline_run("--campaign", "-p", "no:cacheprovider")
    text = "3 of 4: `test_bad`, `test_without_a_machine`, `test_untidy`"
    assert {what: it.measured for what, it in kept("kills").items()} == {"good": "0", FAILED: text}


@pytest.mark.parametrize("suite", SUITES)
def test_every_campaign_has_its_place_in_the_report(suite: str) -> None:
    files = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / suite).glob("test_*.py")}
    places = re.findall(r"<!-- figures (\w+) -->", (ROOT / "docs" / "reliability.md").read_text())
    assert files <= set(places)


def test_the_report_holds_the_kept_figures() -> None:
    figures = json.loads((ROOT / "docs" / "reliability.json").read_text())["figures"]
    report = (ROOT / "docs" / "reliability.md").read_text()
    assert module.with_tables(report, [Figure(**entry) for entry in figures]) == report
