"""`mlp-service jobs`: list jobs."""

import itertools
from typing import TYPE_CHECKING, Annotated, cast

import typer

from service.cli.options import Json, Url
from service.cli.tables import print_json, print_rows
from service.cli.terminal import errors_as_messages, percent, printable

if TYPE_CHECKING:
    from mlp_client.job_calls import Sort
    from mlp_client.records import Job

app = typer.Typer(help="List jobs, newest first.", invoke_without_command=True)
COLUMNS = ("job", "state", "epochs", "test accuracy", "submitted", "name", "data set")

States = Annotated[
    list[str],
    typer.Option(
        help="Only jobs in this state, such as running; may be repeated.", show_default="all states"
    ),
]
Find = Annotated[
    str,
    typer.Option(
        help="Only jobs in which these words occur: in the name, id, layers, tags, …",
        show_default="all",
    ),
]
Tags = Annotated[
    list[str],
    typer.Option(help="Only jobs with this tag; may be repeated.", show_default="any tags"),
]
Order = Annotated[
    str | None,
    typer.Option(help="-created, created, -best, best, name or -name.", show_default="-created"),
]


@app.callback()
def list_jobs(
    context: typer.Context,
    state: States = [],  # noqa: B006  (never changed)
    find: Find = "",
    tag: Tags = [],  # noqa: B006  (never changed)
    sort: Order = None,
    limit: Annotated[int, typer.Option(min=1, help="Largest number of jobs to list.")] = 20,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List jobs, newest first: id, state, epochs, test accuracy, time of submission and name."""
    if context.invoked_subcommand:
        return
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        listed = client.jobs.list(state, q=find, tag=tag, sort=cast("Sort | None", sort))
        found = [job.data for job in itertools.islice(listed, limit + 1)]
    jobs = found[:limit]
    if as_json:
        print_json(jobs)
    else:
        print_rows(COLUMNS, [_row(job) for job in jobs], wrapped=["name"])
    if len(found) > limit:
        typer.echo(f"There are more jobs: list them with --limit {limit * 5}.", err=True)
    elif not jobs:
        typer.echo(
            "There are no such jobs." if state or find or tag else "There are no jobs.", err=True
        )


def _row(job: "Job") -> tuple[str, ...]:
    latest = job.metrics.latest
    return (
        job.id,
        job.state.value,
        f"{job.progress.epochs_done}/{job.progress.epochs}",
        percent(latest.test_accuracy) if latest else "-",
        f"{job.created_at:%Y-%m-%d %H:%M:%SZ}",
        printable(job.spec.name or job.spec.preset or ""),
        printable(job.spec.dataset),
    )
