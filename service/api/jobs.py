"""Jobs and presets: submit, list, read, cancel, pause, resume, delete, and read epochs."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from starlette.convertors import StringConvertor, register_url_convertor

from mlp_client.job_spec import PRESETS, Spec, StoredSpec
from mlp_client.records import Epoch, Job, Record
from service.api.conditional import conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.job_records import epoch_record, job_record, new_job, with_public_links
from service.api.json_body import JsonRoute
from service.api.openapi import NOT_MODIFIED, binary
from service.api.predict_input import media_type
from service.api.public_path import public_path
from service.api.validation import NO_PARAMETERS, QueryParameters, pointer
from service.domain import cost
from service.domain.dataset_manifest import Manifest
from service.domain.dataset_shape import architecture
from service.domain.errors import DatasetNotFound, DatasetNotReady, Flaw, SpecRefused
from service.domain.fitted_spec import fitted
from service.domain.job_recipe import recipe_of
from service.store.jobs import Submission
from service.store.stored_job import EpochRecord

MOST_NAMED = 10
"""A hint names this many classes of a data set."""

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=JsonRoute)

JobId = Annotated[str, Path(description="The job's id, `job_…`.", max_length=64)]
DESCRIPTIONS = {
    "linear": "784-10, no hidden layer: ten templates, about 92.5 % on the test set",
    "mlp-relu": "784-128-10 with relu: about 98 %",
    "mlp-sigmoid": "784-128-10 with sigmoid: about 97.4 %",
    "mlp-augmented": "784-1024-1024-10, digits deformed differently in each epoch: over 99.3 %",
}
EXAMPLES: dict[str, Any] = {
    "preset": {"summary": "A preset", "value": {"preset": "mlp-relu"}},
    "defaults": {"summary": "All defaults: mlp-relu", "value": {}},
    "changed preset": {
        "summary": "A preset with some changes",
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


class EpochList(Record):
    """The finished epochs of a job, in order."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Epoch] = Field(description="The epochs.")


class Preset(Record):
    """A named spec."""

    name: str = Field(description="What to send as `preset` in a spec.")
    description: str = Field(description="The network, and its accuracy on the test set.")
    spec: StoredSpec = Field(description="The spec with all its fields.")


class PresetList(Record):
    """The presets."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[Preset] = Field(description="The presets, the smallest first.")


SPECS = ("create_job", "preview_job")
"""The names of the routes that take a spec."""


async def json_only(request: Request) -> None:
    sent = media_type(request.headers)
    kind, _, subtype = sent.partition("/")
    if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
        other = f", not {sent[:100]}" if sent else ""
        empty = " The body {} takes every default." if request.scope["route"].name in SPECS else ""
        raise HTTPException(
            415,
            f"Send a JSON body with Content-Type: application/json (`curl --json`){other}.{empty}",
        )


@router.post(
    "/jobs",
    status_code=201,
    response_model=Job,
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="create_job",
    summary="Submit a job",
)
def create_job(
    services: ServicesDep,
    spec: Annotated[Spec, Body(openapi_examples=EXAMPLES)],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes retries safe: requests with the same key and the same resolved "
            "spec create only one job.",
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
        ),
    ] = None,
) -> Response:
    """Add a job to the queue. Every field of the spec has a default.

    A spec that can't run here, because it is too large or would take too long, is refused, and the
    error names the fields to change.
    """
    body = _wish(spec)
    try:
        submission = _submit(services, spec, idempotency_key, body)
    except SpecRefused:  # it may have been accepted before, when the limits were higher
        first = services.jobs.replay(idempotency_key, body) if idempotency_key else None
        if first is None:
            raise
        submission = first
    services.wake()
    headers = {"Location": public_path(f"/v1/jobs/{submission.job}")}
    if submission.replayed:
        headers["Idempotent-Replayed"] = "true"
    answer = with_public_links(submission.answer)
    return Response(answer, 201, headers, media_type="application/json")


def _wish(spec: Spec) -> bytes:
    """Return what tells a submission from others, whatever its data set is when it is sent again.

    A field that is given is another wish than one that is fitted to the data, which MNIST needs
    for no field.
    """
    wish = spec.model_dump_json()
    if spec.dataset != Spec.model_fields["dataset"].default:
        wish += f" of which {' '.join(sorted(spec.given))} are given"
    return wish.encode()


def _submit(services: Services, spec: Spec, key: str | None, body: bytes) -> Submission:
    manifest = data_of(services, spec)
    shape = manifest.sizes
    spec = fitted_to(spec, manifest)
    priced = cost.check(recipe_of(spec.model_dump()), shape, services.limits)
    batches_per_epoch = math.ceil(shape.train_rows / spec.batch_size)
    network = architecture(shape, spec.hidden)
    with _flaw_of_dataset():
        return services.jobs.submit(
            new_job(spec, priced, batches_per_epoch, network, manifest),
            # The answer may be sent again by a server that another proxy publishes.
            render=lambda job: job_record(job, root_path="").model_dump_json(),
            key=key,
            body=body,
        )


def data_of(services: Services, spec: Spec) -> Manifest:
    """Return what the data set that a spec names is now.

    Raises:
        SpecRefused: there is no such data set, it can't be used, it lacks a class that the spec
            weights, or it has no images to augment.

    """
    with _flaw_of_dataset():
        info = services.datasets.describe(spec.dataset)
    _check_class_weights(spec, info.classes)
    _check_augmentation(spec, info.manifest)
    return info.manifest


def fitted_to(spec: Spec, manifest: Manifest) -> Spec:
    """Return a spec whose fields that were not given fit the data set."""
    return spec.model_copy(update=fitted(spec.model_dump(), spec.given, manifest.sizes))


def _check_augmentation(spec: Spec, manifest: Manifest) -> None:
    if spec.augmentation is None or manifest.image_shape:
        return
    raise SpecRefused(
        [
            Flaw(
                "#/augmentation",
                f"only images can be deformed, and {spec.dataset!r} has rows of numbers",
                "set it to null, or leave out the preset mlp-augmented",
            )
        ]
    )


@contextmanager
def _flaw_of_dataset() -> Iterator[None]:
    """Name the spec's field if its data set can't be used."""
    try:
        yield
    except (DatasetNotFound, DatasetNotReady) as exc:
        raise SpecRefused([Flaw("#/dataset", str(exc))]) from exc


def _check_class_weights(spec: Spec, classes: Sequence[str]) -> None:
    given = spec.class_weights
    if not isinstance(given, dict):
        return
    flaws = [
        Flaw(
            pointer(("body", "class_weights", name)),
            f"{spec.dataset} has no class {name!r}",
            f"its classes are {', '.join(classes[:MOST_NAMED])}",
        )
        for name in given
        if name not in classes
    ]
    if not flaws and not any(given.get(name, 1) for name in classes):
        flaws = [Flaw("#/class_weights", "all weights are 0", "leave one class a weight above 0")]
    if flaws:
        raise SpecRefused(flaws)


@router.get(
    "/jobs/{job}",
    response_model=Job,
    responses=NOT_MODIFIED,
    dependencies=[NO_PARAMETERS],
    name="get_job",
    summary="Read a job",
)
def get_job(services: ServicesDep, request: Request, job: JobId) -> Response:
    """Return a job with its state, its progress and its metrics."""
    body = job_record(services.jobs.get(job)).model_dump_json().encode()
    return conditional(request, "json", (body,), lambda: body)


@router.delete(
    "/jobs/{job}",
    status_code=204,
    response_class=Response,
    dependencies=[NO_PARAMETERS],
    name="delete_job",
    summary="Delete a job",
)
def delete_job(services: ServicesDep, job: JobId) -> None:
    """Delete a job with its epochs and weights; the answer is 409 while it has a worker."""
    services.jobs.delete(job)


class ActionConvertor(StringConvertor):
    """Matches the actions only, so that any other word in their place is a 404."""

    regex = "cancel|pause|resume"


register_url_convertor("action", ActionConvertor())


@router.post(
    "/jobs/{job}/{action:action}",
    dependencies=[NO_PARAMETERS],
    name="act_on_job",
    summary="Cancel, pause or resume a job",
)
def act_on_job(
    services: ServicesDep,
    job: JobId,
    action: Annotated[
        Literal["cancel", "pause", "resume"], Path(description="What to do with the job.")
    ],
) -> Job:
    """Cancel, pause or resume a job; repeating a request has no further effect.

    A job that is training saves a checkpoint before it pauses, and `resume` continues from there.
    A cancelled job keeps its last checkpoint, and its network can still predict.
    """
    changed = services.jobs.act(action, job)
    services.wake()
    return job_record(changed)


class EpochQuery(QueryParameters):
    after: int = Field(0, ge=0, le=2**31, description="Return only epochs with a higher number.")


@router.get(
    "/jobs/{job}/epochs", response_model=EpochList, name="list_epochs", summary="List epochs"
)
async def list_epochs(
    services: ServicesDep, request: Request, job: JobId, query: Annotated[EpochQuery, Query()]
) -> Response:
    """Return loss, accuracy and time of the finished epochs, in order."""

    def write() -> str:
        found = services.jobs.epochs(job, query.after)
        return EpochList(data=[epoch_record(epoch) for epoch in found]).model_dump_json()

    return Response(await HEAVY_POOL.run(request, write), media_type="application/json")


@router.get(
    "/jobs/{job}/epochs.csv",
    response_class=Response,
    responses=binary("csv"),
    dependencies=[NO_PARAMETERS],
    name="get_epochs_csv",
    summary="Read epochs as CSV",
)
async def get_epochs_csv(services: ServicesDep, request: Request, job: JobId) -> Response:
    """Return loss, accuracy and time of the finished epochs as CSV, with a header line."""
    latest = (await run_in_threadpool(services.jobs.get, job)).latest
    # Finished epochs never change, so the number of the last one identifies them all.
    if answer := unchanged(request, "csv", (job, latest["epoch"] if latest else 0)):
        return answer

    def write() -> Response:
        epochs = services.jobs.epochs(job)
        return conditional(request, "csv", (job, len(epochs)), lambda: _csv(epochs))

    return await HEAVY_POOL.run(request, write)


def _csv(epochs: list[EpochRecord]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=list(Epoch.model_fields))
    writer.writeheader()
    writer.writerows(epochs)
    return file.getvalue().encode()


@router.get("/presets", dependencies=[NO_PARAMETERS], name="list_presets", summary="List presets")
def list_presets() -> PresetList:
    """Return the presets: three small networks, and the most accurate one."""
    return PresetList(
        data=[
            Preset(name=name, description=DESCRIPTIONS[name], spec=_resolved(Spec(preset=name)))
            for name in PRESETS
        ]
    )


def _resolved(spec: Spec) -> StoredSpec:
    return StoredSpec(**spec.model_dump())
