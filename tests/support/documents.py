"""The README and the guides as tests read them: sections, tables, code blocks, links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDES = (
    "README.md",
    "docs/api.md",
    "docs/apps.md",
    "docs/cli.md",
    "docs/datasets.md",
    "docs/deployment.md",
    "docs/evaluations.md",
    "docs/jobs.md",
    "docs/keys.md",
    "docs/predictions.md",
    "docs/problems.md",
    "docs/python.md",
    "docs/scale.md",
    "docs/settings.md",
    "docs/weights.md",
)
REPORTS = ("docs/performance.md", "docs/reliability.md")
DEVELOPER_DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "DATASETS.md")
DOCUMENTS = (*GUIDES, *REPORTS, *DEVELOPER_DOCUMENTS)


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def section(document: str, title: str) -> str:
    """Return the text under a heading `## title` or `### title`, up to the next heading."""
    [_, found] = re.split(rf"^##+ {re.escape(title)}\n", text_of(document), flags=re.MULTILINE)
    return re.split(r"^##+ ", found, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables in a text, without their heads."""
    found = []
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE):
        _, _, *lines = table.splitlines()
        found += [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return found


def quoted(text: str) -> list[str]:
    """Return the texts between backticks."""
    return re.findall(r"`([^`]+)`", text)


def chapter(document: str, title: str) -> str:
    """Return the text under a heading `## title`, with the sections in it."""
    [_, found] = re.split(rf"^## {re.escape(title)}\n", text_of(document), flags=re.MULTILINE)
    return re.split(r"^## ", found, flags=re.MULTILINE)[0]


def blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a language, also those that are indented in a list."""
    return blocks_in(text_of(document), language)


def blocks_in(text: str, language: str) -> list[str]:
    """Return the code blocks of a language in a text."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    return [
        re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in fence.findall(text)
    ]


def links(document: str) -> list[tuple[str, str]]:
    """Return the local links of a document as (path from the root, anchor or an empty string)."""
    found = re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", text_of(document))
    folder = (ROOT / document).parent
    here = Path(document)
    return [
        (str((folder / path).resolve().relative_to(ROOT)) if path else str(here), anchor)
        for path, anchor in found
    ]


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
