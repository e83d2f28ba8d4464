"""Queues evaluations that are too large for one answer, and says what becomes of them."""

import asyncio
import time
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from starlette.requests import ClientDisconnect

from mlp_client.evaluation_records import (
    EvaluationRequest,
    EvaluationState,
    EvaluationTask,
    EvaluationTaskLinks,
    EvaluationTaskList,
)
from mlp_client.records import Reason
from service.api.dependencies import Services, ServicesDep
from service.api.evaluated import Normalize, SplitQuery, check_queueable, question_about
from service.api.heavy_answers import HEAVY_POOL
from service.api.jobs import json_only
from service.api.json_body import JsonRoute
from service.api.public_path import public_path
from service.api.sample_choice import SplitName
from service.api.validation import NO_PARAMETERS, QueryParameters
from service.domain.job_state import FINAL, State
from service.store import evaluation_rows
from service.store.evaluation_rows import EvaluationQuestion
from service.store.stored_dataset import DatasetInfo

LOOK_SECONDS = 0.2
"""How often a request that waits for an evaluation looks for its end."""

router = APIRouter(prefix="/v1/evaluations", tags=["models"], route_class=JsonRoute)

TaskId = Annotated[
    str,
    Path(
        description="The id of a large evaluation.",
        max_length=64,
        examples=["ev_0190c2f5c3b87d3fa1b2c3d4e5f60718"],
    ),
]
ASKED = ("dataset", "dataset_sha256", "split", "normalize", "rows")
"""Fields that a question and its record have in common."""
EXAMPLES: dict[str, Any] = {
    "own": {"summary": "All training images", "value": {"model": "latest", "split": "train"}},
}


class WaitQuery(QueryParameters):
    wait: int = Field(
        0,
        ge=0,
        le=60,
        description="Seconds to wait until the evaluation has succeeded or failed; the answer "
        "comes then, or when they are over.",
    )


@router.post(
    "",
    status_code=202,
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="create_evaluation",
    summary="Queue a large evaluation",
)
async def create_evaluation(
    services: ServicesDep,
    request: Request,
    response: Response,
    asked: Annotated[EvaluationRequest, Body(openapi_examples=EXAMPLES)],
) -> EvaluationTask:
    """Queue the evaluation of a network on a whole set, however long it takes.

    A worker asks the network about each image, and keeps what it says. Once it has succeeded, all
    addresses of `GET /v1/models/{ref}/evaluation` answer about these images. The same request again
    returns the same evaluation, and queues it again if it has failed. An owner keeps at most 20; a
    new one takes the place of the oldest that has ended. Of a job that still trains, without an
    epoch, the newest network is meant that stays when the job trains on.
    """

    def submit() -> evaluation_rows.EvaluationTask:
        question = _question(services, asked)
        files = services.datasets.files
        return services.evaluation_tasks.submit(
            question, lambda: files.open(question.dataset_sha256)
        )

    # A result that is there already is read whole, to know that it is not damaged.
    record = _record(await HEAVY_POOL.run(request, submit))
    response.headers["Location"] = record.links.self
    return record


@router.get(
    "",
    dependencies=[NO_PARAMETERS],
    name="list_evaluations",
    summary="List large evaluations",
)
def list_evaluations(services: ServicesDep) -> EvaluationTaskList:
    """Return the newest evaluations that were queued, in whatever state, the newest first."""
    return EvaluationTaskList(data=[_record(task) for task in services.evaluation_tasks.tasks()])


@router.get("/{evaluation}", name="get_evaluation_task", summary="Read a large evaluation's state")
async def get_evaluation_task(
    services: ServicesDep,
    request: Request,
    evaluation: TaskId,
    query: Annotated[WaitQuery, Query()],
) -> EvaluationTask:
    """Return the state of an evaluation that was queued."""
    until = time.monotonic() + query.wait
    while True:
        found = await run_in_threadpool(services.evaluation_tasks.get, evaluation)
        if found.state in FINAL or time.monotonic() >= until or services.is_stopping():
            return _record(found)
        if await request.is_disconnected():
            raise ClientDisconnect
        await asyncio.sleep(LOOK_SECONDS)


@router.delete(
    "/{evaluation}",
    status_code=204,
    response_class=Response,
    dependencies=[NO_PARAMETERS],
    name="delete_evaluation",
    summary="Delete a large evaluation",
)
def delete_evaluation(services: ServicesDep, evaluation: TaskId) -> None:
    """Delete what a network said about a whole set, or stop asking it."""
    services.evaluation_tasks.delete(evaluation)


def _question(services: Services, asked: EvaluationRequest) -> EvaluationQuestion:
    """Return what is asked, about networks that the client may change.

    Raises:
        DatasetDiffers: the data set has other images or classes than the network expects.
        EvaluationTooLarge: it is too large for a worker as well.

    """
    models = services.models.seen_by(services.jobs)
    ref = models.lasting_ref(asked.model)
    model = models.get(ref)
    info = services.datasets.describe(asked.dataset) if asked.dataset else None
    info = info or DatasetInfo(model.dataset, model.manifest)
    ref = f"{model.job}@{model.checkpoint.epochs_done}" if "@" in ref else model.job
    question = question_about(model, info, asked.split, asked.normalize, ref)
    check_queueable(services, model, question)
    return question


def _record(task: evaluation_rows.EvaluationTask) -> EvaluationTask:
    question, checkpoint = task.question, task.question.checkpoint
    is_running = task.state == State.RUNNING
    fields = {name: getattr(question, name) for name in ASKED}
    return EvaluationTask(
        id=task.id,
        state=EvaluationState(task.state),
        reason=Reason(**task.reason) if task.reason else None,
        owner=task.owner,
        model=checkpoint.job,
        epochs_done=checkpoint.epochs_done,
        checkpoint_sha256=checkpoint.sha256,
        progress=round(task.rows_done / max(question.rows, 1), 4) if is_running else None,
        created_at=task.created_at,
        finished_at=task.finished_at,
        links=EvaluationTaskLinks(
            self=public_path(f"/v1/evaluations/{task.id}"), evaluation=_address(question)
        ),
        **fields,
    )


def _address(question: EvaluationQuestion) -> str:
    """Return where the evaluation is once it has succeeded."""
    asked = SplitQuery(
        dataset=question.dataset_ref,
        split=cast(SplitName, question.split),
        normalize=cast(Normalize, question.normalize),
    ).asked()
    path = public_path(f"/v1/models/{question.ref}/evaluation")
    return path + (f"?{urlencode(asked)}" if asked else "")
