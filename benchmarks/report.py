"""The figures of the benchmarks: docs/performance.json and the tables of docs/performance.md."""

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.campaign import code_state, machine

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "performance.json"
REPORT = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Figure:
    """A repeated measurement and its target."""

    what: str
    value: float
    """The median."""
    low: float
    high: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    """Details for the reader of the table, in a few words."""

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"≥ {_text(self.at_least, self.unit)}"
        return "" if self.at_most is None else f"≤ {_text(self.at_most, self.unit)}"

    @property
    def met(self) -> str:
        if not self.target:
            return ""
        enough = self.at_least is None or self.value >= self.at_least
        return (
            "yes" if enough and (self.at_most is None or self.value <= self.at_most) else "**no**"
        )

    def row(self) -> str:
        measured = _text(self.value, self.unit)
        if self.met == "**no**" and self.target.endswith(f" {measured}"):
            measured = f"{self.value:.5g} {self.unit}"  # rounded, the target would seem to be met
        if self.low != self.high:
            measured += f" ({_number(self.low)} to {_number(self.high)})"
        return f"| {self.what} | {self.target} | {measured} | {self.met} | {self.note} |"


def figure(
    what: str,
    values: float | Sequence[float],
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    note: str = "",
) -> Figure:
    """Return the figure of one or several repetitions, and print it; ratios have the unit `x`."""
    several = [values] if isinstance(values, int | float) else list(values)
    median = statistics.median(several)
    found = Figure(what, median, min(several), max(several), unit, at_least, at_most, note)
    print(f"  {found.row()}", flush=True)
    return found


def keep(part: str, figures: list[Figure], seconds: float) -> None:
    """Replace the stored figures of a part."""
    kept = json.loads(FIGURES.read_text())["parts"] if FIGURES.exists() else {}
    kept[part] = {
        "commit": code_state("service", "mlp_client", "mlp_core", "benchmarks"),
        "machine": machine(),
        "seconds": round(seconds),
        "figures": [asdict(found) for found in figures],
    }
    FIGURES.write_text(json.dumps({"parts": kept}, indent=1, ensure_ascii=False) + "\n")
    place = re.compile(rf"(<!-- figures {part} -->\n).*?(<!-- end -->)", re.DOTALL)
    report = REPORT.read_text()
    if not place.search(report):
        raise ValueError(f"docs/performance.md has no place for the figures of {part}")
    table = _table(figures) + f"\nMeasured on {kept[part]['commit']}; {machine()}.\n"
    REPORT.write_text(place.sub(lambda found: found[1] + table + found[2], report))


def _table(figures: list[Figure]) -> str:
    head = ["| what | target | median (range) | met | |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(found.row() for found in figures)]) + "\n"


def _text(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.2f} %"
    return _number(value) + (unit if unit == "x" else f" {unit}")


def _number(value: float) -> str:
    """Format three significant digits, or all digits of an integer part."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
