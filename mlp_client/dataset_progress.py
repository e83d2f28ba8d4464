"""Progress of a data set that is sent and checked: a bar on a terminal, lines of text elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from mlp_client.dataset_records import DatasetRecord
from mlp_client.progress_display import live_console
from mlp_client.uploads import Upload

if TYPE_CHECKING:
    from rich.console import Console

Show: TypeAlias = Callable[[str, float | None], None]
"""Called with what is being done, and with the part that is done; None if that is not known."""


@contextmanager
def display(name: str, progress: bool | None) -> Iterator[Show]:
    """Yield a function that shows how far a data set is.

    Args:
        name: of the data set.
        progress: True shows the progress, False does not, None shows it on a terminal or in a
            notebook only.

    """
    console = live_console()
    if progress is False or (progress is None and console is None):
        yield lambda doing, part: None
    elif console is not None:
        with _bar(console, name) as show:
            yield show
    else:
        yield _lines(name)


def shown(upload: Upload, show: Show) -> Upload:
    """Return an upload that shows how far it is while it is read."""

    def pieces() -> Iterator[bytes]:
        sent = 0
        for piece in upload:
            yield piece
            sent += len(piece)
            show("sending", sent / upload.size if upload.size else None)

    return replace(upload, pieces=pieces)


def show_record(show: Show, data: DatasetRecord) -> None:
    """Show how far the check of a data set is."""
    show(data.state.value, data.progress)


@contextmanager
def _bar(console: "Console", name: str) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[doing]}", style="dim"),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(name, total=None, doing="")

        def show(doing: str, part: float | None) -> None:
            done = 1.0 if doing == "ready" else part
            total = None if done is None else 1.0
            bars.update(task, completed=done or 0.0, total=total, doing=doing)

        yield show


def _lines(name: str) -> Show:
    said = ""

    def show(doing: str, part: float | None) -> None:
        nonlocal said
        if doing != said:
            said = doing
            print(f"{name}: {doing}", file=sys.stderr, flush=True)  # noqa: T201  (it was asked for)

    return show
