"""What else may be in a data set's folder: its data layouts, and the mark of damaged files."""

from pathlib import Path

DAMAGED = "damaged.json"
"""The file that says so; a new upload of the same content replaces the folder with it."""
LAYOUT = "arranged-"
"""The beginning of the names of the folders of its data layouts."""


def is_marked(folder: Path) -> bool:
    """Return whether the files in a folder were found to be damaged."""
    return (folder / DAMAGED).exists()
