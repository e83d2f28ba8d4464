"""Finds the job that `latest` means, and says which newer ones it passes over."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.cli.terminal import counted

if TYPE_CHECKING:
    from mlp_client import Client
    from mlp_client.records import Job

LATEST = "latest"
MOST_JOBS = 100


def resolved(client: "Client", ref: str) -> tuple[str, str | None]:
    """Return the reference with the job in place of `latest`, and a sentence about that job.

    A reference to another job has no sentence. Nor has `latest` if the key may not list jobs, or if
    none of the newest ones has learned; then the server decides.
    """
    from mlp_client.errors import KeyRefused

    name, at, epoch = ref.partition("@")
    if name != LATEST:
        return ref, None
    try:
        listed = client.jobs.list(state="succeeded", limit=MOST_JOBS)
        ended = sorted((handle.data for handle in listed), key=_end, reverse=True)
    except KeyRefused:
        return ref, None
    for place, job in enumerate(ended):
        if job.learned:
            return f"{job.id}{at}{epoch}", _sentence(job, ended[:place])
    return ref, None


def _end(job: "Job") -> str:
    return job.finished_at.isoformat() if job.finished_at else ""


def _sentence(job: "Job", newer: Sequence["Job"]) -> str:
    answers = f"{job.id} answers, which was trained on {job.spec.dataset}"
    if not newer:
        return f"{answers}."
    more = len(newer) - 1
    others = f" (so {'was' if more == 1 else 'were'} {counted(more, 'other job')})" if more else ""
    passed = newer[0].id
    return (
        f"{answers}. The newer {passed}, trained on {newer[0].spec.dataset}, was passed over "
        f"because it learned nothing{others}; `--model {passed}` asks it."
    )
