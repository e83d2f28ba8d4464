"""Campaigns: fault and attack tests that run small with all tests, and in full on demand.

`make chaos` and `make attack` run them in full and keep what they measured, beside its target, in
`docs/reliability.json`; the tables of `docs/reliability.md` are made of it.
"""

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "reliability.json"
REPORT = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Figure:
    """What one campaign measured."""

    suite: str
    """`chaos` or `attack`: the make target."""
    campaign: str
    """The test file without `test_`; `make <suite> K=<campaign>` runs it again."""
    what: str
    target: str
    measured: str
    met: bool
    commit: str


class Campaign:
    """How large the campaigns are in this run, and what they measured."""

    def __init__(self, suite: str, name: str, *, full: bool) -> None:
        self._suite, self._name = suite, name
        self.full = full
        self.figures: list[Figure] = []

    def of(self, small: T, full: T) -> T:
        """Return the size for this run: `small` is what `make test` can afford."""
        return full if self.full else small

    def figure(self, what: str, *, target: str, measured: object, met: bool) -> None:
        """Note a figure; a test asserts what must hold by itself, after noting it."""
        print(f"{self._name}: {what}: {measured} (target: {target})")  # noqa: T201
        commit = _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "-s") else "")
        found = Figure(self._suite, self._name, what, target, str(measured), met, commit)
        self.figures.append(found)

    @contextmanager
    def cases(self, what: str) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """Count the cases in which something did not hold; the first such error is raised last."""
        tried, errors = 0, list[Exception]()

        @contextmanager
        def case() -> Iterator[None]:
            nonlocal tried
            tried += 1
            try:
                yield
            except Exception as exc:
                errors.append(exc)

        yield case
        measured = f"{len(errors)} of {tried}"
        self.figure(what, target="0", measured=measured, met=bool(tried and not errors))
        if errors:
            raise errors[0]

    def keep(self) -> None:
        """Put this campaign's figures in the place of its former ones with the same names."""
        if not self.full or not self.figures:
            return
        new = {(figure.campaign, figure.what) for figure in self.figures}
        old = [figure for figure in kept_figures() if (figure.campaign, figure.what) not in new]
        entries = [asdict(figure) for figure in [*old, *self.figures]]
        text = json.dumps({"machine": machine(), "figures": entries}, indent=1)
        FIGURES.write_text(f"{text}\n")
        REPORT.write_text(with_tables(REPORT.read_text(), kept_figures()))


def kept_figures() -> list[Figure]:
    if not FIGURES.exists():
        return []
    return [Figure(**entry) for entry in json.loads(FIGURES.read_text())["figures"]]


def machine() -> str:
    """Describe where the figures come from."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cpu = model[1] if model else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def with_tables(report: str, figures: Iterable[Figure]) -> str:
    """Return the report with each `<!-- figures CAMPAIGN -->` followed by that campaign's table."""
    ordered = sorted(figures, key=lambda figure: figure.campaign)
    for name, group in groupby(ordered, key=lambda figure: figure.campaign):
        place = re.compile(rf"(<!-- figures {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(report):
            raise ValueError(f"docs/reliability.md has no place for the figures of {name}")
        table = _table(list(group))
        report = place.sub(lambda found, table=table: found[1] + table + found[2], report)
    return report


def _table(figures: list[Figure]) -> str:
    rows = ["| what | target | measured | met | commit |", "|---|---|---|---|---|"]
    rows += [
        f"| {it.what} | {it.target} | {it.measured} | {'yes' if it.met else '**no**'} "
        f"| {it.commit} |"
        for it in figures
    ]
    return "\n".join(rows) + "\n"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
