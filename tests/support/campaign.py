"""Campaigns: fault and attack tests that run small among all tests, and in full on demand.

`make chaos` and `make attack` run them in full. They keep what was measured, next to its target, in
`docs/reliability.json`, and update the tables of `docs/reliability.md` from it.
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
ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "reliability.json"
REPORT = ROOT / "docs" / "reliability.md"
SUITES = ("chaos", "attack")
MEASURED = ("service", "mlp_client", "mlp_core", "tests")
"""What a figure depends on. The files under docs do not count: keeping a figure changes them."""


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
    """The size of one campaign in this run, and what it has measured."""

    def __init__(self, suite: str, name: str, *, full: bool) -> None:
        self._suite, self._name = suite, name
        self.full = full
        self.figures: list[Figure] = []
        self._failed: dict[str, bool] = {}
        """Whether each test of the file that has run failed, by its name."""

    def of(self, small: T, full: T) -> T:
        """Return the size for this run; `small` must be quick enough for `make test`."""
        return full if self.full else small

    def figure(self, what: str, *, target: str, measured: object, met: bool) -> None:
        """Record a figure. The test itself asserts what must hold, after recording it."""
        print(f"{self._name}: {what}: {measured} (target: {target})")  # noqa: T201
        self.figures.append(self._figure(what, target, str(measured), met))

    @contextmanager
    def cases(self, what: str) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """Count the cases that fail, record them as a figure, and then raise the first error."""
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

    def note(self, test: str, *, failed: bool) -> None:
        """Record that a test of the file has run; it failed if any part of it did."""
        self._failed[test] = failed or self._failed.get(test, False)

    def keep(self) -> None:
        """Replace all figures that this campaign has kept before.

        None of them may stay: if a test failed before noting its figures, those of its last success
        would be left.
        """
        if not self.full or not self._failed:
            return
        others = [figure for figure in kept_figures() if figure.campaign != self._name]
        entries = [asdict(figure) for figure in [*others, *self.figures, self._failures()]]
        text = json.dumps({"machine": machine(), "figures": entries}, indent=1)
        FIGURES.write_text(f"{text}\n")
        REPORT.write_text(with_tables(REPORT.read_text(), kept_figures()))

    def _failures(self) -> Figure:
        names = [f"`{test}`" for test, failed in self._failed.items() if failed]
        measured = f"{len(names)} of {len(self._failed)}"
        text = ": ".join([measured, ", ".join(names)] if names else [measured])
        return self._figure("tests that failed", "0", text, not names)

    def _figure(self, what: str, target: str, measured: str, met: bool) -> Figure:
        commit = code_state(*MEASURED)
        return Figure(self._suite, self._name, what, target, measured, met, commit)


def kept_figures() -> list[Figure]:
    if not FIGURES.exists():
        return []
    return [Figure(**entry) for entry in json.loads(FIGURES.read_text())["figures"]]


def machine() -> str:
    """Describe the machine that the figures come from."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cpu = model[1] if model else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def with_tables(report: str, figures: Iterable[Figure]) -> str:
    """Return the report with each `<!-- figures CAMPAIGN -->` followed by that campaign's table."""
    ordered = sorted(figures, key=lambda figure: figure.campaign)
    for name, group in groupby(ordered, key=lambda figure: figure.campaign):
        place = re.compile(rf"(?<=<!-- figures {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        found = place.search(report)
        if not found:
            raise ValueError(f"docs/reliability.md has no place for the figures of {name}")
        report = report[: found.start()] + _table(list(group)) + report[found.end() :]
    return report


def _table(figures: list[Figure]) -> str:
    rows = ["| what | target | measured | met | commit |", "|---|---|---|---|---|"]
    rows += [
        f"| {it.what} | {it.target} | {_cell(it.measured)} | {'yes' if it.met else '**no**'} "
        f"| {it.commit} |"
        for it in figures
    ]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    """Escape what would end a cell; names of tests may contain it."""
    return text.replace("|", r"\|")


def code_state(*folders: str) -> str:
    """Return the commit, followed by `+` if these folders have changed since."""
    changed = _git("status", "-s", "--", *folders)
    return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
