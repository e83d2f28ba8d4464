"""docs/datasets.md says everything that an upload can be told, and that its report can say."""

import ast
from collections.abc import Iterator

from mlp_client.dataset_options import DatasetOptions
from tests.support.documents import ROOT, quoted, rows, section

GUIDE = "docs/datasets.md"
FLAWS, DOUBTS = {"Flaw", "unusable"}, {"Doubt", "doubt"}
"""The functions of service/ingest whose first argument is the code of an error or of a warning."""


def described(title: str) -> list[str]:
    """Return the words between backticks in the first cells of a section's tables."""
    return [word for first, *_ in rows(section(GUIDE, title)) for word in quoted(first)]


def codes(functions: set[str]) -> Iterator[str]:
    """Yield the codes that the readers and the check of data sets can report."""
    for path in (ROOT / "service/ingest").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                first = call.args[0] if call.args else None
                named = call.func.id in functions
                if named and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def test_every_option_is_described_and_no_other() -> None:
    assert sorted(described("Options")) == sorted(DatasetOptions.model_fields)


def test_every_warning_is_described() -> None:
    found = set(codes(DOUBTS))
    assert found
    assert found - set(described("The report")) == set()


def test_every_error_is_described() -> None:
    found = set(codes(FLAWS))
    assert len(found) > 20
    assert found - set(described("The report")) == set()
