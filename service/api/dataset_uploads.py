"""Takes data sets in: a file by PUT, several by POST; and waits for their check."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mlp_client.dataset_options import NAME_PATTERN
from mlp_client.dataset_records import DatasetRecord, DatasetReport
from service.api import dry_runs
from service.api.dataset_names import name_flaw
from service.api.dependencies import Services, ServicesDep
from service.api.derived_datasets import DERIVE, MAX_BODY_BYTES, derive, derived_dataset
from service.api.intake import Answer, Asked, Upload, refuse_early, upload
from service.api.job_records import with_public_links
from service.api.predict_input import media_type
from service.api.predict_schema import BINARY, FORM
from service.api.public_path import public_path
from service.api.upload_form import Event, Field, FileEnd, FileStart, FormReader
from service.api.upload_options import UploadQuery, options_object, valid_options
from service.api.validation import NO_PARAMETERS, shortened

MAX_FILES = 8
"""The four files of MNIST's form, and as many again."""
JSON = "application/json"
ANY_SIZE = 2**50
"""The framework's own limit of bodies; that of uploads is a setting."""
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"description": "The data set; a check of it follows.", "model": DatasetRecord},
    200: {"description": "The data set, which was sent before.", "model": DatasetRecord},
}
PUT: dict[int | str, dict[str, Any]] = CREATED | {
    200: {
        "description": "The data set, which was sent before; or the report of a dry run.",
        "model": DatasetRecord | DatasetReport,
    }
}
UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "file"],
    "properties": {
        "name": {"type": "string", "pattern": NAME_PATTERN, "examples": ["letters"]},
        "options": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "The options as JSON, see `DatasetOptions`.",
        },
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "maxItems": MAX_FILES,
            "description": "The files. They may be in fields of any name.",
        },
    },
}
Name = Annotated[
    str, Path(description="The name of the new data set.", max_length=64, examples=["letters"])
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Makes retries safe: a request with the same key and the same files, "
        "options and name gets the answer to the first one, even if the data set has been "
        "deleted since. Without a key a repeated request finds the data set by its name.",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
    ),
]

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.put(
    "/{name}",
    status_code=201,
    response_model=DatasetRecord,
    responses=PUT,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": BINARY}}
    },
    max_body_size=ANY_SIZE,
    name="put_dataset",
    summary="Send a file as a data set",
)
async def put_dataset(
    services: ServicesDep, request: Request, name: Name, query: Annotated[UploadQuery, Query()]
) -> Response:
    """Make a data set of one file, the body: `curl -T letters.zip URL/v1/datasets/letters`.

    The file is a zip or tar of pictures in folders by class, CSV or TSV, an `.npz` file with images
    and labels, and so on; its content decides what it is. What else is to be known is found in it,
    or given by the options. A check follows, for which `GET /v1/datasets/{name}?wait=30` waits.

    To send the same file with the same options again changes nothing and is answered with 200;
    another file is refused with 409. A data set never changes. With `dry_run` the answer is the
    report of the check, whatever name the file is sent under, and nothing is stored.
    """
    check_name(name)
    if media_type(request.headers) == FORM:
        raise HTTPException(
            415, "PUT takes the file itself as body (curl -T FILE); POST /v1/datasets takes a form."
        )
    length = _content_length(request)
    if length == 0:
        raise HTTPException(422, "The body is empty: send a file, for example with curl -T FILE.")
    options = query.resolved().model_dump(mode="json")
    if query.dry_run:
        return await _dry_run(services, request, name, options)
    async with upload(services.intake, Asked(name, options), length or 0) as under_way:
        under_way.refuse_other_size(length)
        await under_way.add_file("", request.stream())
        return _response(name, await under_way.complete())


@router.post(
    "",
    status_code=201,
    response_model=DatasetRecord,
    responses=CREATED,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {FORM: {"schema": UPLOAD_FORM}, JSON: DERIVE},
        }
    },
    max_body_size=ANY_SIZE,
    dependencies=[NO_PARAMETERS],
    name="create_dataset",
    summary="Send files as a data set, or make one of another",
)
async def create_dataset(
    services: ServicesDep, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a data set of up to eight files in a form: images and labels, or a file for each split.

    The fields `name` and `options`, a JSON object, come before the files. The names of the files
    may say to which split they belong, as in `train.csv` and `test.csv`.

    A body of JSON makes a data set of one that is ready: with another split, with some of its
    classes, or with a few training rows of each class. `from` names it, and says what to keep. The
    images stay as they are, and predictions treat pictures in the same way. The same body again
    changes nothing and is answered with 200; another one under the name is refused with 409.
    """
    kind = media_type(request.headers)
    if kind == JSON:
        asked = derived_dataset(await _whole(request))
        answer = await run_in_threadpool(derive, services, asked, idempotency_key)
        return _response(asked.name, answer)
    if kind != FORM:
        raise HTTPException(
            415,
            "Send a form: curl -F name=letters -F file=@train.csv -F file=@test.csv; or one file "
            "as it is with PUT /v1/datasets/{name}; or JSON with `name` and `from`, to make a "
            "data set of another one.",
        )
    return await _received_form(services, request, idempotency_key)


async def _received_form(services: Services, request: Request, key: str | None) -> Response:
    length = _content_length(request) or 0
    await run_in_threadpool(refuse_early, services.intake, length, key)
    events = FormReader(request.headers["content-type"]).events(request.stream())
    name, options, first = await _fields(events)
    async with upload(services.intake, Asked(name, options, key), length) as under_way:
        await under_way.add_file(first.filename, _bytes(events))
        async for event in events:
            await _receive(event, events, under_way)
        return _response(name, await under_way.complete())


async def _dry_run(
    services: Services, request: Request, name: str, options: dict[str, Any]
) -> Response:
    hidden, length = dry_runs.new_name(services.datasets), _content_length(request) or 0
    async with dry_runs.deleted_after(services.datasets, hidden):
        async with upload(services.intake, Asked(hidden, options), length) as under_way:
            await under_way.add_file("", request.stream())
            await under_way.complete()
        report = await dry_runs.report_of(services, request, hidden)
    named = report.model_copy(update={"dataset": name})
    return Response(named.model_dump_json(), media_type="application/json")


def check_name(name: str) -> None:
    """Refuse what can't be the name of a data set.

    Raises:
        HTTPException: it can't.

    """
    if flaw := name_flaw(name):
        raise HTTPException(422, flaw)


def _content_length(request: Request) -> int | None:
    """Return the length of the body, or None if it is not known before its end."""
    if "transfer-encoding" in request.headers:
        return None
    return int(request.headers.get("content-length", 0))


async def _whole(request: Request) -> bytes:
    """Return the body, if it is as small as one of JSON may be."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"A body of JSON may have {MAX_BODY_BYTES:,} bytes here.")
    return bytes(body)


async def _fields(events: AsyncIterator[Event]) -> tuple[str, dict[str, Any], FileStart]:
    """Return the name, the options and the beginning of the first file of a form.

    Raises:
        HTTPException: the name is missing, or there is a field that does not belong here.
        RequestValidationError: an option is not valid.

    """
    sent: dict[str, bytes] = {}
    async for event in events:
        if isinstance(event, FileStart):
            return _name(sent), _options(sent), event
        if isinstance(event, Field):
            if event.name not in ("name", "options"):
                raise _stray(event)
            sent[event.name] = event.value
    raise HTTPException(422, "The form has no file: add one, for example -F file=@letters.zip.")


def _name(sent: Mapping[str, bytes]) -> str:
    if "name" not in sent:
        raise HTTPException(422, "The form needs a field `name`, before its files.")
    name = sent["name"].decode("utf-8", "replace").strip()
    check_name(name)
    return name


def _options(sent: Mapping[str, bytes]) -> dict[str, Any]:
    place = ("body", "options")
    given = options_object(sent["options"], place) if sent.get("options") else {}
    return valid_options(given, place).model_dump(mode="json")


def _stray(field: Field) -> HTTPException:
    return HTTPException(
        422,
        f"The form has a field {shortened(field.name)!r} in a place where none is expected: `name` "
        "and `options` come first and then only files, each with a file name.",
    )


async def _receive(event: Event, events: AsyncIterator[Event], under_way: Upload) -> None:
    """Receive one more file of a form."""
    if isinstance(event, Field):
        raise _stray(event)
    if isinstance(event, FileStart):
        if under_way.count == MAX_FILES:
            raise HTTPException(422, f"A data set is made of {MAX_FILES} files at most.")
        await under_way.add_file(event.filename, _bytes(events))


async def _bytes(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Yield the bytes of the file that has just begun."""
    async for event in events:
        if isinstance(event, FileEnd):
            return
        if isinstance(event, bytes):
            yield event


def _response(name: str, answer: Answer) -> Response:
    headers = {"Location": public_path(f"/v1/datasets/{name}")}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    status = 201 if answer.is_new or answer.replayed else 200
    body = with_public_links(answer.record)
    return Response(body, status, headers, media_type="application/json")
