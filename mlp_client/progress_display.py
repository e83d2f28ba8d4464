"""Progress of jobs: bars on a terminal or in a notebook, lines of text elsewhere."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlp_client.job_state import FINAL, State
from mlp_client.records import Job

if TYPE_CHECKING:
    from rich.console import Console

Show = Callable[[Job], None]
EPOCHS_PER_LINE = 10


@contextmanager
def display(jobs: Sequence[Job], progress: bool | None) -> Iterator[Show]:
    """Yield a function that shows the current progress of a job.

    Args:
        jobs: the jobs as they are now.
        progress: True shows the progress, False does not, None shows it on a terminal or in a
            notebook only, so that none is written into a file.

    """
    console = live_console()
    if progress is False or (progress is None and console is None):
        yield lambda job: None
    elif console is not None:
        with _bars(console, jobs) as show:
            yield show
    else:
        yield _lines()


def live_console() -> "Console | None":
    """Return a console for bars, or None without a terminal, a notebook or the package rich."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    # Progress goes to stderr, so that the output of a program can be piped.
    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None


@contextmanager
def _bars(console: "Console", jobs: Sequence[Job]) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TextColumn

    # markup=False, because a job may be named "[red]".
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[epochs]}", justify="right"),
        TextColumn("{task.fields[measured]}"),
        TextColumn("{task.fields[status]}", style="dim"),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {job.id: bars.add_task(_title(job), total=1.0, **_fields(job)) for job in jobs}
        yield lambda job: bars.update(tasks[job.id], completed=_fraction(job), **_fields(job))


def _lines() -> Show:
    due: dict[str, int] = {}

    def show(job: Job) -> None:
        done, epochs = job.progress.epochs_done, job.progress.epochs
        # The last epoch is shown in the line that also says how the job ended.
        is_due = due.setdefault(job.id, EPOCHS_PER_LINE) <= done < epochs
        if not is_due and job.state not in FINAL:
            return
        due[job.id] = done + EPOCHS_PER_LINE
        fields = _fields(job)
        line = f"{_title(job)}: {fields['epochs']}  {fields['measured']}  {fields['status']}"
        print(line.rstrip(), file=sys.stderr, flush=True)  # noqa: T201  (it was asked for)

    return show


def _title(job: Job) -> str:
    return job.spec.name or job.spec.preset or f"job …{job.id[-6:]}"


def _fraction(job: Job) -> float:
    # The event of an epoch has no fraction, and may arrive before the progress that has one.
    return max(job.progress.fraction, job.progress.epochs_done / max(job.progress.epochs, 1))


def _fields(job: Job) -> dict[str, Any]:
    latest = job.metrics.latest
    measured = (
        f"loss {latest.train_loss:.4f}  test {latest.test_accuracy:7.2%}" if latest else " " * 26
    )
    return {
        "epochs": f"epoch {job.progress.epochs_done:>2}/{job.progress.epochs}",
        "measured": measured,
        "status": _status(job),
    }


def _status(job: Job) -> str:
    if job.state != State.RUNNING:
        return job.state.value
    eta = job.progress.eta_seconds
    return "" if eta is None else f"{timedelta(seconds=round(eta))} left"
