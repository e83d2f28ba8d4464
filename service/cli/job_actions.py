"""`mlp-service show`, `watch`, `pause`, `resume`, `cancel` and `delete`: one job or several."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import JobArgument, Json, Url, job_id
from service.cli.tables import print_json
from service.cli.terminal import (
    all_succeed,
    counted,
    each_or_exit,
    echo_lines,
    errors_as_messages,
    is_interactive,
    percent,
    printable,
)
from service.cli.train import result_lines
from service.cli.watch_all import watch_all

if TYPE_CHECKING:
    from mlp_client import JobHandle
    from mlp_client.records import Epoch

JobArguments = Annotated[
    list[str], typer.Argument(metavar="JOB...", help="Ids of jobs, or their URLs.")
]


def show(job: JobArgument, as_json: Json = False, url: Url = None) -> None:
    """Show a job: its state, progress, accuracy, spec and estimated time."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        handle = client.jobs.get(job_id(job))
    if as_json:
        print_json([handle.data])
    else:
        echo_lines([printable(line) for line in _description(handle)])


WatchedJobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB...", help="Ids of jobs, or their URLs.", show_default="all jobs"),
]


def watch(jobs: WatchedJobs = None, as_json: Json = False, url: Url = None) -> None:
    """Show the progress of jobs until all have ended, and print where the results are.

    Without a job, it prints what happens to all jobs, line by line, until Ctrl-C, which stops the
    watching and not the jobs. The exit code is 1 if a job failed or was cancelled.
    """
    from mlp_client import Client, JobCancelled, JobFailed

    if not jobs:
        watch_all(url, as_json=as_json)
        return
    handles: list[JobHandle] = []
    with errors_as_messages(), Client(url) as client:
        failed = not all_succeed(jobs, lambda job: handles.append(client.jobs.get(job_id(job))))
        try:
            client.wait_all(handles, progress=True)
        except (JobFailed, JobCancelled):  # the first of them; each is reported below
            failed = True
        if as_json:
            print_json(handle.data for handle in handles)
        else:
            for handle in handles:
                echo_lines(_outcome(handle, client.base_url))
    if failed:
        raise typer.Exit(1)


def pause(jobs: JobArguments, as_json: Json = False, url: Url = None) -> None:
    """Pause jobs. A job that is training saves a checkpoint first."""
    _act(jobs, lambda job: job.pause(), url, as_json)


def resume(jobs: JobArguments, as_json: Json = False, url: Url = None) -> None:
    """Queue paused jobs again. They continue from their checkpoints."""
    _act(jobs, lambda job: job.resume(), url, as_json)


def cancel(jobs: JobArguments, as_json: Json = False, url: Url = None) -> None:
    """Cancel jobs for good. Their last checkpoints remain, and can still predict."""
    _act(jobs, lambda job: job.cancel(), url, as_json)


def delete(
    jobs: JobArguments,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="Do not ask for confirmation.", show_default="ask on a terminal"
        ),
    ] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Delete jobs with their metrics and networks. Cancel a job that is training first."""
    from mlp_client import Client

    if not yes and is_interactive():
        typer.confirm(f"Delete {counted(len(jobs), 'job')} with all results?", abort=True)
    with errors_as_messages(), Client(url) as client:

        def delete_one(job: str) -> None:
            handle = client.jobs.get(job_id(job))
            handle.delete()
            deleted = json.dumps({"id": handle.id, "deleted": True})
            typer.echo(deleted if as_json else f"{handle.id} deleted")

        each_or_exit(jobs, delete_one)


def _act(
    jobs: list[str], action: "Callable[[JobHandle], JobHandle]", url: str | None, as_json: bool
) -> None:
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:

        def act_on_one(job: str) -> None:
            handle = action(client.jobs.get(job_id(job)))
            if as_json:
                print_json([handle.data])
            else:
                typer.echo(f"{handle.id} {handle.state.value}")

        each_or_exit(jobs, act_on_one)


def _outcome(job: "JobHandle", server: str) -> list[str]:
    from mlp_client.job_state import State

    if job.state == State.SUCCEEDED:
        return [job.id, *result_lines(job, server)]
    reason = f": {job.reason.message}" if job.reason else ""
    return [printable(f"{job.id} {job.state.value}{reason}")]


def _description(job: "JobHandle") -> list[str]:
    """Return the lines of `show`; each begins with the name of what it says."""
    data, spec = job.data, job.spec
    widths = "-".join(map(str, spec.hidden))
    optimizer = spec.optimizer.type
    lines = {
        "job": job.id,
        "name": spec.name,
        "state": job.state.value + (f": {job.reason.message}" if job.reason else ""),
        "owner": data.owner or "",
        "hidden": f"{widths} units, {spec.activation}" if spec.hidden else "no layer",
        "data set": spec.dataset,
        "training": f"{counted(spec.epochs, 'epoch')} of {optimizer}, learning rate "
        f"{spec.learning_rate:g}, batches of {spec.batch_size}, seed {spec.seed}",
        "progress": _progress(job),
        "latest": _measured(job.metrics.latest),
        "best": _measured(job.metrics.best),
        "submitted": f"{data.created_at:%Y-%m-%d %H:%M:%S} UTC",
        "finished": f"{data.finished_at:%Y-%m-%d %H:%M:%S} UTC" if data.finished_at else "",
        "weights": f"SHA-256 {data.weights_sha256}" if data.weights_sha256 else "",
        "url": job.url,
    }
    return [f"{name:<10} {' '.join(text.split())}" for name, text in lines.items() if text]


def _progress(job: "JobHandle") -> str:
    progress = job.progress
    text = f"{progress.epochs_done} of {counted(progress.epochs, 'epoch')}"
    if job.data.queue_position:
        text += f", number {job.data.queue_position} in the queue"
    if progress.eta_seconds is not None:
        text += f", about {progress.eta_seconds:.0f} s left"
    return text


def _measured(epoch: "Epoch | None") -> str:
    if epoch is None:
        return ""
    return (
        f"epoch {epoch.epoch}: test accuracy {percent(epoch.test_accuracy)}, test loss "
        f"{epoch.test_loss:.4f}, training accuracy {percent(epoch.train_accuracy)}"
    )
