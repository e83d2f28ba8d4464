"""Lists of jobs: filtered, searched, sorted, and page by page."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field, ValidationInfo, field_validator

from mlp_client.job_spec import Label, Printable
from mlp_client.job_summaries import JobSummary
from mlp_client.records import Job, Record
from service.api.dependencies import ServicesDep
from service.api.job_records import job_record
from service.api.job_summaries import job_summary
from service.api.validation import QueryParameters
from service.domain.job_state import State
from service.store.job_list import JobFilter
from service.store.stored_job import Page

router = APIRouter(prefix="/v1", tags=["jobs"])
MAX_JOBS, MAX_SUMMARIES = 100, 500
MAX_WORDS = 8

Order = Literal["-created", "created", "-best", "best", "name", "-name"]


class PageOfJobs(Record):
    """What every page of a list says about itself."""

    has_more: bool = Field(description="Whether there are more jobs after this page.")
    first_id: str | None = Field(description="Id of the first job; null if the page is empty.")
    last_id: str | None = Field(
        description="Id of the last job, to be sent as `after` for the next page; null if the "
        "page is empty."
    )


class JobList(PageOfJobs):
    """One page of jobs."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Job] = Field(description="The jobs of this page.")


class JobSummaryList(PageOfJobs):
    """One page of jobs, each in short."""

    object: Literal["summary_list"] = Field("summary_list", description="The type of this record.")
    data: list[JobSummary] = Field(description="The jobs of this page, in short.")


class PageQuery(QueryParameters):
    fields: Literal["all", "summary"] = Field(
        "all",
        description="`summary` returns only the fields that lists show, in a quarter of the bytes.",
    )
    limit: int = Field(
        20,
        ge=1,
        le=MAX_SUMMARIES,
        description=f"Maximum number of jobs to return; over {MAX_JOBS} only with fields=summary.",
    )
    after: str | None = Field(
        None, max_length=64, description="`last_id` of the previous page, to continue after it."
    )
    state: list[State] = Field(
        [], description="Return only jobs in this state; repeat the parameter for several states."
    )
    tag: list[Label] = Field(
        [],
        max_length=16,
        description="Return only jobs with this tag; with all of them, if it is repeated.",
    )
    # A pattern of LIKE would end at a NUL, and find everything.
    q: Annotated[str, Printable] = Field(
        "",
        max_length=200,
        description="Return only jobs in which each of these words occurs: in the name, the id, "
        "the layers (as in 784-128-10), the activation, the preset, the tags or the state. Upper "
        "and lower case are the same.",
    )
    sort: Order = Field(
        "-created",
        description="The order: by time of submission, by best accuracy on the test set, or by "
        "name; `-` reverses it. Jobs without an accuracy come last.",
    )

    @field_validator("limit")
    @classmethod
    def _many_only_in_short(cls, limit: int, given: ValidationInfo) -> int:
        if limit > MAX_JOBS and given.data.get("fields") != "summary":
            raise ValueError(f"must be {MAX_JOBS} or less, or send fields=summary as well")
        return limit

    @field_validator("q")
    @classmethod
    def _few_words(cls, q: str) -> str:
        if len(q.split()) > MAX_WORDS:
            raise ValueError(f"must have {MAX_WORDS} words or fewer")
        return q

    def wanted(self) -> JobFilter:
        return JobFilter(tuple(self.state), tuple(self.q.split()), tuple(self.tag), self.sort)


@router.get("/jobs", response_model=JobList | JobSummaryList, name="list_jobs", summary="List jobs")
def list_jobs(services: ServicesDep, query: Annotated[PageQuery, Query()]) -> Response:
    """Return one page of jobs, the newest first unless `sort` says otherwise."""
    page = services.jobs.page(query.limit, query.after, query.wanted())
    listed = _short(page) if query.fields == "summary" else _whole(page)
    # The framework would validate the records once more if they were returned as they are.
    return Response(listed.model_dump_json(), media_type="application/json")


def _whole(page: Page) -> PageOfJobs:
    return JobList(data=[job_record(job, has_names=False) for job in page.jobs], **_ends(page))


def _short(page: Page) -> PageOfJobs:
    return JobSummaryList(data=[job_summary(job) for job in page.jobs], **_ends(page))


def _ends(page: Page) -> dict[str, Any]:
    ids = [job.id for job in page.jobs]
    return {
        "has_more": page.has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }
