"""The report about a data set as lines of text and as the rows of a table."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from service.cli.terminal import printable

if TYPE_CHECKING:
    from mlp_client.dataset_records import DatasetRecord, DatasetReport

REPORT_COLUMNS = ("part", "what", "number", "detail")
"""The columns of the table."""
MOST_CLASSES = 12
MOST_PLACES = 3


def summary(data: "DatasetRecord", report: "DatasetReport") -> list[str]:
    """Return lines about a set that is ready: what was found and doubted, and what is next."""
    rows = " + ".join(f"{count:,} {split}" for split, count in report.rows.items())
    shape = "x".join(map(str, data.shape or []))
    names = [each.name for each in report.classes]
    classes = f"{len(names)} class{'' if len(names) == 1 else 'es'}"
    lines = [f"{data.name} is ready: {rows} rows of {shape}, {classes}"]
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    lines.append(f"classes  {', '.join(names[:MOST_CLASSES])}{more}")
    facts = [(name, _text(value)) for name, value in report.found.items()]
    lines += [f"{name:<8} {text}" for name, text in facts if text]
    for doubt in report.warnings:
        lines.append(f"warning  {doubt.code}: {doubt.detail}")
        lines += [f"         {place}" for place in doubt.examples[:MOST_PLACES]]
    lines.append(f"train    mlp-service train --dataset {data.name}")
    return [printable(" ".join(line.splitlines())) for line in lines]


def report_rows(report: "DatasetReport") -> list[tuple[str, ...]]:
    """Return the rows of a table: errors, rows, classes, what was found, and warnings."""
    return [*_errors(report), *_rows(report), *_found(report.found), *_warnings(report)]


def _errors(report: "DatasetReport") -> Iterator[tuple[str, ...]]:
    for flaw in report.errors:
        place = f"{flaw.place}: " if flaw.place else ""
        yield ("error", flaw.code, "", f"{place}{flaw.detail} {flaw.hint}".strip())


def _rows(report: "DatasetReport") -> Iterator[tuple[str, ...]]:
    for split, count in report.rows.items():
        yield ("rows", split, str(count), "")
    for each in report.classes:
        counts = {name: getattr(each, name) for name in report.rows}
        total = str(sum(counts.values()))
        yield ("class", each.name, total, _text(counts))


def _found(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in found.items():
        if name != "ignored" and _text(value):
            yield ("found", name, "", _text(value))
    for reason, count in found.get("ignored", {}).items():
        yield ("ignored", reason, str(count), "")


def _warnings(report: "DatasetReport") -> Iterator[tuple[str, ...]]:
    for doubt in report.warnings:
        yield ("warning", doubt.code, str(doubt.count), doubt.detail)
        yield from (("", "", "", place) for place in doubt.examples)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
