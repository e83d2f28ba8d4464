"""`mlp-service watch` without a job: what happens to all jobs, line by line."""

from typing import TYPE_CHECKING

import typer

from service.cli.tables import print_json
from service.cli.terminal import errors_as_messages, percent, printable

if TYPE_CHECKING:
    from mlp_client.service_events import ServiceEvent


def watch_all(url: str | None, *, as_json: bool) -> None:
    """Print what happens to all jobs until Ctrl-C; as JSON, each event with all its data."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        for event in client.events():
            if as_json:
                print_json([event])
            elif line := _line(event):
                typer.echo(printable(line))


def _line(event: "ServiceEvent") -> str | None:
    data = event.data
    if event.type == "epoch":
        accuracy = percent(data["test_accuracy"])
        what = f"epoch {data['epoch']}: test accuracy {accuracy}, loss {data['test_loss']:.4f}"
    elif event.type == "warning":
        what = f"warning: {data['message']}"
    elif event.type == "job":
        what = _state(event)
    else:
        return None
    return f"{event.job_id}  {what}"


def _state(event: "ServiceEvent") -> str:
    job = event.job
    if job is None:
        return "deleted"
    name = f" ({job.spec.name})" if job.spec.name else ""
    return f"{job.state}{name}" + (f": {job.reason.message}" if job.reason else "")
