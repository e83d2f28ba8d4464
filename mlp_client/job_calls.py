"""The calls that concern jobs."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from mlp_client.calls import Call, Calls, nothing, record
from mlp_client.pictures import Picture, PictureFormat, picture
from mlp_client.records import Epoch, Job, JobActionResult, JobPreview, Record
from mlp_client.spec_json import spec_json

PAGE_SIZE = 100
OUTAGE_SECONDS = 60.0
"""How long the server may be unreachable, for a restart or an upgrade, before waiting fails."""
Action: TypeAlias = Literal["cancel", "pause", "resume"]


BulkAction: TypeAlias = Literal["cancel", "pause", "resume", "delete"]
Sort: TypeAlias = Literal["-created", "created", "-best", "best", "name", "-name"]


class JobPage(Record):
    """A part of a list of jobs."""

    data: list[Job]
    has_more: bool
    last_id: str | None


class ActionResults(Record):
    """What became of each of several jobs."""

    data: list[JobActionResult]


class Epochs(Record):
    """The epochs of a job."""

    data: list[Epoch]


def path_of(job: str) -> str:
    return f"/v1/jobs/{job}"


def create(preset: str | None, fields: dict[str, Any]) -> Call[Job]:
    spec = fields if preset is None else {"preset": preset, **fields}
    # If the response is lost and the submission is sent again, the key prevents a second job.
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    return Call("POST", "/v1/jobs", record(Job), {"content": spec_json(spec), "headers": headers})


def preview(preset: str | None, fields: dict[str, Any]) -> Call[JobPreview]:
    spec = fields if preset is None else {"preset": preset, **fields}
    content = {"content": spec_json(spec), "headers": {"Content-Type": "application/json"}}
    return Call("POST", "/v1/jobs/preview", record(JobPreview), content)


def get(job: str) -> Call[Job]:
    return Call("GET", path_of(job), record(Job))


def poll(job: str) -> Call[Job]:
    """Read a job that is waited for, also while the server restarts."""
    return Call("GET", path_of(job), record(Job), patience=OUTAGE_SECONDS)


def act(job: str, action: Action) -> Call[Job]:
    return Call("POST", f"{path_of(job)}/{action}", record(Job))


def act_on_all(jobs: Sequence[str], action: BulkAction) -> Call[ActionResults]:
    body = {"json": {"action": action, "jobs": list(jobs)}}
    return Call("POST", "/v1/jobs/actions", record(ActionResults), body)


def label(job: str, labels: Mapping[str, Any]) -> Call[Job]:
    given = {name: value for name, value in labels.items() if value is not None}
    return Call("PATCH", path_of(job), record(Job), {"json": given})


def delete(job: str) -> Call[None]:
    return Call("DELETE", path_of(job), nothing)


def epochs(job: str) -> Call[Epochs]:
    return Call("GET", f"{path_of(job)}/epochs", record(Epochs))


def curves(job: str, format: PictureFormat) -> Call[Picture]:
    return Call("GET", f"{path_of(job)}/curves.{format}", picture)


def pages(
    state: Sequence[str] | str,
    limit: int | None,
    q: str = "",
    tag: Sequence[str] | str = (),
    sort: Sort | None = None,
) -> Calls[JobPage]:
    """Yield the calls for a list of jobs, page after page, until the limit or the end.

    Parameters without a value are not sent: an older service refuses those that it does not know.
    """
    wanted: dict[str, Any] = {"q": q, "tag": _listed(tag), "sort": sort}
    given = {name: value for name, value in wanted.items() if value}
    left = limit
    after: dict[str, str] = {}
    while left is None or left > 0:
        size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        params = {"limit": size, "state": _listed(state), **given, **after}
        page = yield Call("GET", "/v1/jobs", record(JobPage), {"params": params})
        if not page.has_more or page.last_id is None:
            return
        left = None if left is None else left - len(page.data)
        after = {"after": page.last_id}


def _listed(values: Sequence[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
