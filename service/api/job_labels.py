"""Changes of a job's labels, as a JSON merge patch (RFC 7396)."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from mlp_client.job_spec import MAX_NOTES, JobLabels
from mlp_client.records import Job
from service.api.dependencies import ServicesDep
from service.api.job_records import job_record
from service.api.jobs import JobId, json_only
from service.api.json_body import JsonRoute
from service.api.validation import NO_PARAMETERS
from service.domain.errors import Flaw, SpecRefused
from service.store.relabelling import Labels

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=JsonRoute)
EXAMPLES: dict[str, Any] = {
    "name": {"summary": "A new name", "value": {"name": "the good one"}},
    "tags": {"summary": "All tags are replaced", "value": {"tags": ["lecture 5"]}},
    "notes": {
        "summary": "One note is set and one is removed",
        "value": {"metadata": {"who": "ada", "draft": None}},
    },
}


@router.patch(
    "/jobs/{job}",
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="label_job",
    summary="Rename or tag a job",
)
def label_job(
    services: ServicesDep,
    job: JobId,
    labels: Annotated[JobLabels, Body(openapi_examples=EXAMPLES)],
) -> Job:
    """Change a job's name, tags and notes, in any state; the rest of its spec never changes.

    The body is a JSON merge patch (RFC 7396): fields that are left out stay, null empties a field
    or removes a note, and tags are replaced as a whole.
    """
    patch = labels.model_dump(exclude_unset=True)
    return job_record(services.jobs.relabel(job, lambda before: _patched(before, patch)))


def _patched(before: Labels, patch: dict[str, Any]) -> Labels:
    after = dict(before)
    if "name" in patch:
        after["name"] = patch["name"] or ""
    if "tags" in patch:
        after["tags"] = patch["tags"] or []
    if "metadata" in patch:
        after["metadata"] = _notes(before["metadata"] or {}, patch["metadata"])
    return after


def _notes(before: dict[str, str], patch: dict[str, str | None] | None) -> dict[str, str]:
    if patch is None:
        return {}
    after = {key: note for key, note in (before | patch).items() if note is not None}
    if len(after) > MAX_NOTES:
        detail = f"would have {len(after)} items, and may have {MAX_NOTES}"
        raise SpecRefused([Flaw("#/metadata", detail, "remove others: null removes a note")])
    return after
