"""Jobs: submit, list, read, cancel, pause, resume, delete, epochs."""

import csv
import io
import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor, register_url_convertor

from mlp_client.job_state import State
from mlp_client.records import Epoch, Job
from mlp_client.spec import PRESETS, Spec
from service.api.dependencies import Services, ServicesDep
from service.api.job_records import epoch_record, job_record, new_job
from service.api.responses import (
    HEAVY_POOL,
    HELD,
    EpochList,
    JobList,
    Preset,
    PresetList,
    binary,
    conditional,
    unchanged,
)
from service.domain import cost
from service.domain.errors import DatasetNotFound, Flaw, SpecRefused
from service.store.jobs import Submission
from service.store.stored_job import EpochRecord

router = APIRouter(prefix="/v1", tags=["jobs"])

JobId = Annotated[str, Path(description="a job's id, `job_…`", max_length=64)]
DESCRIPTIONS = {
    "linear": "784-10, no hidden layer: ten templates, about 92.5 % on the test set",
    "mlp-relu": "784-128-10 with relu: about 98 %",
    "mlp-sigmoid": "784-128-10 with sigmoid: about 97.4 %",
    "mlp-augmented": "784-1024-1024-10 on digits deformed each time: over 99.3 %",
}
EXAMPLES: dict[str, Any] = {
    "preset": {"summary": "A preset", "value": {"preset": "mlp-relu"}},
    "defaults": {"summary": "All defaults: mlp-relu", "value": {}},
    "changed preset": {
        "summary": "A preset, a little changed",
        "value": {"preset": "linear", "epochs": 10, "learning_rate": 0.05, "name": "slow"},
    },
    "momentum": {
        "summary": "Two hidden layers, Nesterov momentum",
        "value": {
            "hidden": [256, 64],
            "activation": "tanh",
            "initialization": "glorot_uniform",
            "optimizer": {"type": "sgd", "momentum": 0.9, "nesterov": True},
            "learning_rate": 0.02,
            "l2": 0.0001,
            "epochs": 20,
        },
    },
}


async def _json_only(request: Request) -> None:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        sent = media_type[:100] or "none"
        raise HTTPException(415, f"Send the spec with Content-Type: application/json, not {sent}.")


@router.post(
    "/jobs",
    status_code=201,
    response_model=Job,
    dependencies=[Depends(_json_only)],
    name="create_job",
)
def create_job(
    services: ServicesDep,
    request: Request,
    spec: Annotated[Spec, Body(openapi_examples=EXAMPLES)],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="makes retries safe: the same key and resolved spec make one job",
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
        ),
    ] = None,
) -> Response:
    """Submit a job. The answer is the job with its resolved spec, cost and place in the queue."""
    body = spec.model_dump_json().encode()
    try:
        submission = _submit(services, spec, idempotency_key, body)
    except SpecRefused:  # but it may have been accepted, before the limits were lowered
        first = services.jobs.replay(idempotency_key, body) if idempotency_key else None
        if first is None:
            raise
        submission = first
    services.wake()
    headers = {"Location": f"{request.url.path}/{submission.job}"}
    if submission.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(submission.answer, 201, headers, media_type="application/json")


def _submit(services: Services, spec: Spec, key: str | None, body: bytes) -> Submission:
    try:
        shape = services.datasets.describe(spec.dataset).shape
    except DatasetNotFound as exc:
        raise SpecRefused([Flaw("#/dataset", str(exc))]) from exc
    priced = cost.check(spec, shape, services.limits)
    batches_per_epoch = math.ceil(shape.train_rows / spec.batch_size)
    return services.jobs.submit(
        new_job(spec, priced, batches_per_epoch),
        render=lambda job: job_record(job).model_dump_json(),
        key=key,
        body=body,
    )


@router.get("/jobs", name="list_jobs")
def list_jobs(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[
        str | None, Query(description="id of the last job of the page before", max_length=64)
    ] = None,
    state: Annotated[list[State], Query(description="only these; may be repeated")] = [],  # noqa: B006
) -> JobList:
    """List jobs, newest first."""
    page = services.jobs.page(limit, after, state)
    ids = [job.id for job in page.jobs]
    return JobList(
        data=[job_record(job) for job in page.jobs],
        has_more=page.has_more,
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
    )


@router.get("/jobs/{job}", response_model=Job, responses=HELD, name="get_job")
def get_job(services: ServicesDep, request: Request, job: JobId) -> Response:
    """Read a job: state, progress, metrics."""
    body = job_record(services.jobs.get(job)).model_dump_json().encode()
    return conditional(request, "json", (body,), lambda: body)


@router.delete("/jobs/{job}", status_code=204, response_class=Response, name="delete_job")
def delete_job(services: ServicesDep, job: JobId) -> None:
    """Delete a job that has no worker, with its epochs and weights."""
    services.jobs.delete(job)
    services.artifacts.delete_folder(job)


class ActionConvertor(StringConvertor):
    """Other words at its place in an address lead nowhere, whatever the method."""

    regex = "cancel|pause|resume"


register_url_convertor("action", ActionConvertor())


@router.post("/jobs/{job}/{action:action}", name="act_on_job")
def act_on_job(
    services: ServicesDep, job: JobId, action: Literal["cancel", "pause", "resume"]
) -> Job:
    """Cancel, pause or resume a job. Repeating an action that is done is harmless."""
    changed = services.jobs.act(action, job)
    services.wake()
    return job_record(changed)


@router.get("/jobs/{job}/epochs", response_model=EpochList, name="list_epochs")
async def list_epochs(
    services: ServicesDep,
    request: Request,
    job: JobId,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Response:
    """List the finished epochs, from the one behind `after`."""

    def write() -> str:
        found = services.jobs.epochs(job, after)
        return EpochList(data=[epoch_record(epoch) for epoch in found]).model_dump_json()

    return Response(await HEAVY_POOL.make(request, write), media_type="application/json")


@router.get(
    "/jobs/{job}/epochs.csv",
    response_class=Response,
    responses=binary("csv"),
    name="get_epochs_csv",
)
async def get_epochs_csv(services: ServicesDep, request: Request, job: JobId) -> Response:
    """Read the finished epochs as CSV, with a header line."""
    latest = (await run_in_threadpool(services.jobs.get, job)).latest
    # Epochs never change, so the last one's number stands for all.
    if answer := unchanged(request, "csv", (job, latest["epoch"] if latest else 0)):
        return answer

    def write() -> Response:
        epochs = services.jobs.epochs(job)
        return conditional(request, "csv", (job, len(epochs)), lambda: _csv(epochs))

    return await HEAVY_POOL.make(request, write)


def _csv(epochs: list[EpochRecord]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=list(Epoch.model_fields))
    writer.writeheader()
    writer.writerows(epochs)
    return file.getvalue().encode()


@router.get("/presets", name="list_presets")
def list_presets() -> PresetList:
    """List the presets: the hand-in's three networks, and the best one known here."""
    return PresetList(
        data=[
            Preset(name=name, description=DESCRIPTIONS[name], spec=Spec(preset=name))
            for name in PRESETS
        ]
    )
