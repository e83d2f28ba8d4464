"""`mlp-service jobs prune`: delete finished jobs beyond a number, or show which ones would go."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from service.cli.options import DataDir, Json, load_settings
from service.cli.stored_data import database_of
from service.cli.tables import print_rows
from service.cli.terminal import counted

if TYPE_CHECKING:
    from service.store.artifacts import Artifacts
    from service.store.queue import FinishedJob, Queue

COLUMNS = ("job", "owner", "state", "test accuracy", "finished", "size")


class Pruned(NamedTuple):
    """A job that goes, and the bytes of its files."""

    job: "FinishedJob"
    bytes: int


def prune(
    keep: Annotated[
        int | None,
        typer.Option(min=0, help="Number of finished jobs to keep.", show_default="MLP_KEEP_JOBS"),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Delete nothing; show what would be deleted.", show_default="off"
        ),
    ] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Delete the finished jobs of a data directory beyond the number to keep. A server may run.

    Jobs that failed, were cancelled or learned nothing go first, and of each kind those that ended
    first. Each owner's newest model and its most accurate one stay, and so do unfinished jobs.
    """
    settings = load_settings(data_dir=data_dir)
    keep = settings.keep_jobs if keep is None else keep
    if keep is None:
        flaw = "how many finished jobs shall stay? Give a number here or set MLP_KEEP_JOBS"
        raise typer.BadParameter(flaw, param_hint="--keep")
    from service.storage import refuse_unshared
    from service.store.artifacts import artifacts_at
    from service.store.queue import Queue

    pruned: list[Pruned] = []
    with database_of(settings, migrated=False) as database:
        refuse_unshared(settings)  # else the files in the bucket would stay
        queue, artifacts = Queue(database), artifacts_at(settings.resolved_artifacts_url())
        try:
            # One after the other: if the disk fails, those that are gone are reported.
            for one in (_expendable if dry_run else _delete)(queue, artifacts, keep):
                pruned.append(one)  # noqa: PERF402
        finally:
            _report(pruned, keep, dry_run=dry_run, as_json=as_json)


def _expendable(queue: "Queue", artifacts: "Artifacts", keep: int) -> Iterator[Pruned]:
    for job in queue.expendable(keep):
        yield Pruned(job, artifacts.folder_bytes(job.id))


def _delete(queue: "Queue", artifacts: "Artifacts", keep: int) -> Iterator[Pruned]:
    from service.store.queue import PRUNED_TOGETHER

    while going := queue.expendable(keep, most=PRUNED_TOGETHER):
        # Measured first: once the rows are gone, a server deletes the files, too.
        sizes = {job.id: artifacts.folder_bytes(job.id) for job in going}
        gone = queue.prune(keep)
        for job in gone:
            artifacts.delete_folder(job.id)
            yield Pruned(job, sizes.get(job.id, 0))
        queue.forget([job.id for job in gone])


def _report(pruned: list[Pruned], keep: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        for one in pruned:
            typer.echo(json.dumps(_record(one)))
    else:
        print_rows(COLUMNS, [_row(one) for one in pruned])
    size = f"{sum(one.bytes for one in pruned) / 1e6:.1f} MB"
    would = "would be deleted" if dry_run else "deleted"
    what = f"{counted(len(pruned), 'job')} {would}, {size}" if pruned else "Nothing to delete"
    typer.echo(f"{what}; finished jobs to keep: {keep}.", err=True)


def _record(one: Pruned) -> dict[str, object]:
    job = one.job
    return {
        "id": job.id,
        "owner": job.owner,
        "state": job.state,
        "test_accuracy": job.test_accuracy,
        "finished_at": job.finished_at.isoformat(),
        "bytes": one.bytes,
    }


def _row(one: Pruned) -> tuple[str, ...]:
    job = one.job
    accuracy = "-" if job.test_accuracy is None else f"{job.test_accuracy:.2%}"
    finished, size = f"{job.finished_at:%Y-%m-%d %H:%M:%SZ}", f"{one.bytes / 1e6:.1f} MB"
    return job.id, job.owner or "-", job.state.value, accuracy, finished, size
