"""Actions on many jobs in one request: each job is changed by itself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel, ConfigDict, Field

from mlp_client.records import JobActionResult, Problem, Record
from service.api import problem_responses
from service.api.dependencies import ServicesDep
from service.api.jobs import json_only
from service.api.json_body import JsonRoute
from service.api.validation import NO_PARAMETERS
from service.domain.errors import ServiceError, StoreBroken
from service.store.jobs import JobStore

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=JsonRoute)
MAX_JOBS = 500
EXAMPLES: dict[str, Any] = {
    "cancel": {"summary": "Two jobs", "value": {"action": "cancel", "jobs": ["job_1", "job_2"]}}
}


class JobActions(BaseModel):
    """What to do with which jobs."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    action: Literal["cancel", "pause", "resume", "delete"] = Field(
        description="What to do with each of the jobs."
    )
    jobs: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1, max_length=MAX_JOBS, description="Ids of the jobs."
    )


class JobActionResults(Record):
    """What became of each job."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[JobActionResult] = Field(
        description="A result for each id, in the order of the request; an id that is given twice "
        "has one."
    )


@router.post(
    "/jobs/actions",
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="act_on_jobs",
    summary="Cancel, pause, resume or delete many jobs",
)
def act_on_jobs(
    services: ServicesDep, wanted: Annotated[JobActions, Body(openapi_examples=EXAMPLES)]
) -> JobActionResults:
    """Do the same with up to 500 jobs, one after another, and say what became of each.

    The answer is 200 also if an action is refused: each result then has the problem that the
    request for this one job would have had. Repeating a request has no further effect.
    """
    each = _Actions(services.jobs, wanted.action)
    results = [each.result(id_) for id_ in dict.fromkeys(wanted.jobs)]
    services.wake()
    return JobActionResults(data=results)


class _Actions:
    """Does the same with one job after another."""

    def __init__(self, jobs: JobStore, action: str) -> None:
        self._jobs, self._action = jobs, action
        self._broken: Problem | None = None

    def result(self, id_: str) -> JobActionResult:
        if self._broken:  # each further job would wait for the store as long again
            return JobActionResult(id=id_, problem=self._broken)
        try:
            return self._act(id_)
        except ServiceError as exc:
            problem = problem_responses.of(exc)
            self._broken = problem if isinstance(exc, StoreBroken) else None
            return JobActionResult(id=id_, problem=problem)

    def _act(self, id_: str) -> JobActionResult:
        if self._action == "delete":
            self._jobs.delete(id_)
            return JobActionResult(id=id_, deleted=True)
        return JobActionResult(id=id_, state=self._jobs.act(self._action, id_).state)
