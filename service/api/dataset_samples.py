"""Collects labelled pictures one by one, and freezes them into a data set to train on."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from mlp_client.dataset_options import ClassName, DatasetOptions
from mlp_client.dataset_records import DatasetRecord
from service.api import json_input, predict_input
from service.api.dataset_answers import dataset_record
from service.api.dataset_uploads import Name, check_name
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.intake import MARGIN_BYTES, check_space
from service.api.jobs import json_only
from service.api.json_body import JsonRoute
from service.api.predict_input import IMAGE, media_type
from service.api.predict_schema import JSON, ImageInput
from service.api.public_path import public_path
from service.api.request_bodies import has_body
from service.api.sample_schema import FREEZE_EXAMPLES, SAMPLE_BODY, Freeze, LabelledInput
from service.api.validation import NO_PARAMETERS, QueryParameters
from service.domain.dataset_manifest import InputForm
from service.domain.errors import BadImage, DatasetNotFound, DatasetNotReady
from service.inference import image_decoding
from service.inference.input_batch import Image
from service.inference.labelled_image import LabelledImage
from service.inference.predict import Options
from service.store.collected_samples import MAX_SAMPLES
from service.store.stored_dataset import DatasetInfo, StoredDataset

MAX_SAMPLE_BYTES = 8 * 1024**2
MAX_BODY_BYTES = 12 * 1024**2
"""A picture of 8 MiB in base64, and what stands around it."""
ABOUT = ("description", "license", "attribution")
WITH_BASE = {"classes", *ABOUT}
"""The options that a set made of another one may have; the form of its images is that one's."""

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=JsonRoute)


class SampleQuery(QueryParameters):
    label: ClassName | None = Field(
        None,
        description="The name of the class, if the body is a picture.",
        examples=["7"],
    )


async def _json_if_any(request: Request) -> None:
    if has_body(request.headers):
        await json_only(request)


@router.post(
    "/{name}/samples",
    status_code=201,
    response_model=DatasetRecord,
    openapi_extra={"requestBody": SAMPLE_BODY},
    max_body_size=MAX_BODY_BYTES,
    name="add_sample",
    summary="Add a labelled picture",
)
async def add_sample(
    services: ServicesDep, request: Request, name: Name, query: Annotated[SampleQuery, Query()]
) -> Response:
    """Add a picture and its label to a data set that is being collected, and answer with the set.

    The first one creates the set. It may have up to 10,000 samples of up to 8 MiB, and is
    `collecting` until it is frozen. A sample that was answered with 201 is kept, whatever happens.

    The body is JSON with `label` and `image`, which has the forms of a prediction; or a picture, as
    in `curl --data-binary @seven.png "URL/v1/datasets/corrections/samples?label=7"`.
    """
    check_name(name)
    kind, body = media_type(request.headers), await request.body()

    def add() -> StoredDataset:
        sample = _sample(services, kind, body, query.label)
        check_space(services.intake, MARGIN_BYTES)
        return services.samples.add(name, sample)

    found = await HEAVY_POOL.run(request, add)
    headers = {"Location": public_path(f"/v1/datasets/{name}")}
    text = dataset_record(found).model_dump_json()
    return Response(text, 201, headers, media_type="application/json")


@router.delete(
    "/{name}/samples/{number}",
    status_code=204,
    response_class=Response,
    dependencies=[NO_PARAMETERS],
    name="delete_sample",
    summary="Take back the last sample",
)
def delete_sample(
    services: ServicesDep,
    name: Name,
    number: Annotated[
        int,
        Path(
            ge=1,
            le=MAX_SAMPLES,
            description="The number of the sample, counted from 1: `samples` of the data set.",
            examples=[3],
        ),
    ],
) -> None:
    """Delete the last sample of a data set that is being collected; with the only one, the set.

    Its number is sent so that nothing else is deleted if the request is repeated, or if others
    have added samples meanwhile.
    """
    services.samples.remove(name, number)


@router.post(
    "/{name}/freeze",
    dependencies=[NO_PARAMETERS, Depends(_json_if_any)],
    name="freeze_dataset",
    summary="Make a data set of samples",
)
async def freeze_dataset(
    services: ServicesDep,
    name: Name,
    wanted: Annotated[Freeze | None, Body(openapi_examples=FREEZE_EXAMPLES)] = None,
) -> DatasetRecord:
    """End the collection of samples; a check follows, as after an upload.

    With `base`, the set has that set's splits, classes and form, and the samples as further rows to
    train on, each brought into that form as networks of the set bring what they are asked about.

    The same request again changes nothing. If the check fails, the samples are kept: add others, or
    freeze them with other options.
    """
    found = await run_in_threadpool(_freeze, services, name, wanted or Freeze())
    services.intake.wake()
    report = await run_in_threadpool(services.datasets.report, name)
    return dataset_record(found, len((report or {}).get("warnings", ())))


def _sample(services: Services, kind: str, body: bytes, label: str | None) -> bytes:
    """Return a sample as it is stored.

    Raises:
        BadImage: it can't be read as an image.
        HTTPException: the body is neither JSON nor a picture.
        RequestValidationError: a field is not valid, or the label is missing.

    """
    found = _labelled(services, kind, body, label)
    if isinstance(found.image, bytes):
        image_decoding.decode(found.image)
    encoded = found.encoded()
    if len(encoded) > MAX_SAMPLE_BYTES:
        raise BadImage(
            "too_many_bytes",
            f"A sample may have {MAX_SAMPLE_BYTES:,} bytes: make the picture smaller.",
        )
    return encoded


def _labelled(services: Services, kind: str, body: bytes, label: str | None) -> LabelledImage:
    actual = predict_input.actual_type(kind, body)
    if actual == JSON:
        if label is not None:
            raise _invalid(("query", "label"), "leave it out: JSON has the label in `label`")
        given = json_input.validated(LabelledInput, predict_input.parse(JSON, body))
        return LabelledImage(given.label, _image(services, given.image))
    if actual != IMAGE:
        raise HTTPException(
            415,
            'Send a picture and ?label=7, or JSON like {"label": "7", "image": {"base64": "…"}}.',
        )
    if label is None:
        raise _invalid(("query", "label"), "is missing: it names what the picture shows")
    return LabelledImage(label, body)


def _image(services: Services, given: ImageInput) -> Image:
    if given.features is not None:
        raise _invalid(("body", "image", "features"), "leave it out: samples are images")
    wanted = given.model_dump(exclude_unset=True)
    pictures, _ = json_input.from_json({"inputs": [wanted]}, Options(), services.datasets)
    image = pictures.images[0]
    if isinstance(image, BadImage):
        raise BadImage(image.code, str(image).removeprefix("#/inputs/0: "), "#/image")
    return image


def _freeze(services: Services, name: str, wanted: Freeze) -> StoredDataset:
    options = wanted.options.model_dump(mode="json")
    about = {field: options[field] for field in ABOUT}
    if wanted.base is not None:
        base = _base(services, wanted.base)
        _check_options(wanted.options)
        options["from"] = _from(base, wanted.options)
        about = {field: it or getattr(base, field) for field, it in about.items()}
        options |= about
    asked = wanted.model_dump(mode="json")
    return services.samples.freeze(name, asked, options, **about)


def _base(services: Services, ref: str) -> DatasetInfo:
    try:
        base = services.datasets.describe(ref)
    except (DatasetNotFound, DatasetNotReady) as exc:
        raise _invalid(("body", "base"), str(exc)) from exc
    if base.manifest.input == InputForm.VECTOR:
        raise _invalid(("body", "base"), "is a set of numbers, to which no picture can be added")
    return base


def _check_options(options: DatasetOptions) -> None:
    """Refuse what the base decides."""
    for field in options.model_fields_set - WITH_BASE:
        raise _invalid(("body", "options", field), "leave it out: it is as in the set `base`")
    if isinstance(options.classes, dict):
        raise _invalid(("body", "options", "classes"), "must be a list, of all classes in order")


def _from(base: DatasetInfo, options: DatasetOptions) -> dict[str, Any]:
    """Return what a check needs of the base, which may be deleted before it."""
    classes = options.classes
    return {
        "dataset": base.name,
        "split": None,
        "classes": list(classes) if classes else None,
        "rows": None,
        "seed": 1,
        "sha256": base.sha256,
        "manifest": base.manifest.as_record(),
    }


def _invalid(place: tuple[str, ...], message: str) -> RequestValidationError:
    error = {"type": "value_error", "loc": place, "msg": message, "input": None}
    return RequestValidationError([error])
