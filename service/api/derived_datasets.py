"""Makes a data set of one that is there: a new split, some of its classes, or fewer rows."""

from contextlib import suppress
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mlp_client.dataset_options import DatasetOptions, DerivedDataset, place_of
from service.api.dataset_answers import kept_answer
from service.api.dataset_names import name_flaw
from service.api.dependencies import Services
from service.api.intake import MARGIN_BYTES, Answer, Asked, check_space, upload_digest
from service.api.json_body import NotJson, read_json
from service.api.openapi_schemas import reference
from service.api.upload_options import invalid
from service.domain.dataset_manifest import Manifest
from service.domain.dataset_state import DatasetState
from service.domain.errors import DatasetExists, DatasetNotFound, DatasetNotReady
from service.store.idempotency import KeyedRequest
from service.store.stored_dataset import DatasetInfo

MAX_BODY_BYTES = 256 * 1024
"""256 classes with names of 64 characters fit in, however they are written."""
COPIES = 3
"""The arrays of a set are written twice by its check, and arranged for training after that."""
HERE = (DatasetState.QUEUED, DatasetState.CHECKING, DatasetState.READY)
ABOUT = ("description", "license", "attribution")
DERIVE: dict[str, Any] = {
    "schema": reference(DerivedDataset.__name__),
    "examples": {
        "few rows": {
            "value": {"name": "mnist-small", "from": {"dataset": "mnist", "rows": 100}},
        },
        "two classes": {
            "value": {
                "name": "three-or-eight",
                "from": {"dataset": "mnist", "classes": ["3", "8"], "split": {"test": 0.3}},
            },
        },
    },
}


def derived_dataset(body: bytes) -> DerivedDataset:
    """Return what a body asks for.

    Raises:
        RequestValidationError: it is no JSON, or a field is not valid.

    """
    try:
        asked = DerivedDataset.model_validate(read_json(body))
    except NotJson as exc:
        error = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": str(exc)}}
        raise RequestValidationError([error]) from exc
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", *_place(error["loc"]))} for error in exc.errors()]
        raise RequestValidationError(errors) from exc
    if flaw := name_flaw(asked.name):
        raise invalid(("body", "name"), flaw)
    return asked


def derive(services: Services, asked: DerivedDataset, key: str | None = None) -> Answer:
    """Queue a data set, and return the answer.

    Args:
        services: with the data sets that the client sees.
        asked: what it is to be made of, and how.
        key: the idempotency key, if there is one.

    Raises:
        DatasetExists: the name belongs to another one.
        KeyReused: the key was used for another request.
        QuotaExceeded: the owner, or all together, have too many data sets.
        RequestValidationError: there is no such source, it is not ready, or lacks a class.
        StoreFull: there is too little space for it.

    """
    options = asked.model_dump(mode="json", by_alias=True)
    request = Asked(asked.name, options, key).request(upload_digest(options, []))
    if request and (first := services.datasets.replay(request)):
        return Answer(first, replayed=True)
    return _derive(services, asked, request)


def _derive(services: Services, asked: DerivedDataset, request: KeyedRequest | None) -> Answer:
    source = _source(services, asked)
    _check_classes(asked, source)
    about = {field: getattr(asked, field) for field in ABOUT}
    about = {field: getattr(source, field) if it is None else it for field, it in about.items()}
    options = DatasetOptions(**about).model_dump(mode="json") | {"from": _resolved(asked, source)}
    digest = upload_digest(options, [])
    check_space(services.intake, COPIES * source.manifest.bytes + MARGIN_BYTES)
    try:
        found = services.datasets.derive(asked.name, source, options, digest, request, **about)
    except DatasetNotFound as exc:
        raise invalid(("body", "from", "dataset"), str(exc)) from exc
    except DatasetExists as exc:
        if exc.state not in HERE:
            raise
        return Answer(kept_answer(services.datasets.repeated(asked.name, digest, request)))
    services.intake.wake()
    return Answer(kept_answer(found), is_new=True)


def _source(services: Services, asked: DerivedDataset) -> DatasetInfo:
    try:
        return services.datasets.describe(asked.from_.dataset)
    except (DatasetNotFound, DatasetNotReady) as exc:
        if (before := _source_before(services, asked)) is not None:
            return before
        raise invalid(("body", "from", "dataset"), str(exc)) from exc


def _source_before(services: Services, asked: DerivedDataset) -> DatasetInfo | None:
    """Return the source of an earlier request for the same name, as it was then.

    So a request can be repeated after the source was deleted, or while another one is checked that
    has its name now.
    """
    with suppress(DatasetNotFound):
        made = services.datasets.get(asked.name)
        origin = made.options.get("from")
        name, _, digest = asked.from_.dataset.partition("@")
        if made.state not in HERE or not origin or origin["dataset"] != name:
            return None
        if digest in ("", f"sha256:{origin['sha256']}"):
            manifest = Manifest.from_record(origin["manifest"])
            return DatasetInfo(name, manifest, made.description, made.license, made.attribution)
    return None


def _check_classes(asked: DerivedDataset, source: DatasetInfo) -> None:
    for place, name in enumerate(asked.from_.classes or ()):
        if name not in source.classes:
            shown = ", ".join(source.classes[:10]) + (", …" if len(source.classes) > 10 else "")
            message = f"{source.name} has no class {name!r}; it has: {shown}"
            raise invalid(("body", "from", "classes", place), message)


def _resolved(asked: DerivedDataset, source: DatasetInfo) -> dict[str, Any]:
    """Return `from` with what a check needs, for the source may be deleted before it."""
    return {
        **asked.from_.model_dump(mode="json"),
        "dataset": source.name,
        "sha256": source.sha256,
        "manifest": source.manifest.as_record(),
    }


def _place(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return (loc[0], *place_of(loc[1:])) if loc and loc[0] == "from" else loc
