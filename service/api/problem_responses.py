"""Every error as an RFC 9457 problem: the one table from what went wrong to an HTTP answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from mlp_client.records import Problem, ProblemItem
from mlp_client.spec import AdamW, Augmentation, Sgd, Spec
from service.api.predict_request import ImageInput, PredictRequest
from service.api.problem_types import PROBLEM_TYPES
from service.api.validation import AN_OBJECT, FORMS, SYNONYMS, worded
from service.domain.errors import (
    BadImage,
    DatasetNotFound,
    JobNotFound,
    KeyReused,
    LayerNotFound,
    NetworkDiverged,
    NotTrainedYet,
    ServiceError,
    SpecRefused,
    StoreBroken,
    StoreFull,
    WrongMove,
)
from service.inference.image_decoding import MAX_IMAGE_BYTES

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
MAX_TEXT = 300
MAX_WORD = 64
MAX_ITEMS = 20

CODES: dict[type[Exception], str] = {
    JobNotFound: "job-not-found",
    DatasetNotFound: "dataset-not-found",
    LayerNotFound: "layer-not-found",
    WrongMove: "wrong-move",
    NotTrainedYet: "no-checkpoint-yet",
    NetworkDiverged: "network-diverged",
    SpecRefused: "spec-refused",
    KeyReused: "idempotency-key-reused",
    BadImage: "bad-image",
    StoreBroken: "store-unavailable",
    StoreFull: "disk-full",
}
BY_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid",
}
REQUEST_MODELS: list[type[BaseModel]] = [Spec, Sgd, AdamW, Augmentation, PredictRequest, ImageInput]
OPTIMIZERS = "sgd", "adamw"
PARTS = {
    "Spec": "the spec itself",
    "Sgd": "an optimizer of type sgd",
    "AdamW": "an optimizer of type adamw",
    "Augmentation": "augmentation",
    "PredictRequest": "the body itself",
    "ImageInput": "an input",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""Describes all error answers for OpenAPI."""

logger = structlog.get_logger(__name__)


def problem(code: str, detail: str, errors: Sequence[ProblemItem] | None = None) -> Problem:
    """Return the problem with this code of `PROBLEM_TYPES`."""
    kind = PROBLEM_TYPES[code]
    return Problem(
        type=f"/problems/{code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=code,
        errors=list(errors) if errors else None,
    )


def too_large(scope: Scope) -> Problem:
    """Return the problem with a body that is too large, and the limit of its kind."""
    limit, advice = scope[MAX_BODY_SIZE_SCOPE_KEY], "send less, or raise MLP_MAX_BODY_BYTES"
    if scope["path"].endswith("/predict"):
        advice = "send fewer images at once"
        if Headers(scope=scope).get("content-type", "").lower().startswith("image/"):
            limit, advice = min(limit, MAX_IMAGE_BYTES), "send a smaller picture"
    return problem("too-large", f"Such a body may have {limit:,} bytes: {advice}.")


def of(exc: ServiceError) -> Problem:
    """Return the problem that `exc` is."""
    code = next((CODES[kind] for kind in type(exc).__mro__ if kind in CODES), "internal")
    items = [
        ProblemItem(pointer=flaw.pointer, detail=flaw.detail, hint=flaw.hint)
        for flaw in getattr(exc, "flaws", ())[:MAX_ITEMS]
    ]
    return problem(code, _short(str(exc)), items)


def answer(found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    # Pydantic's writer leaves text as UTF-8, and text that is not Unicode can't get in here.
    body = found.model_dump_json(exclude_none=True)
    return Response(body, found.status, headers, media_type=MEDIA_TYPE)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    found: Problem,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a request whose body nobody has read; if one is announced, nobody ever will."""
    given = Headers(scope=scope)
    has_body = given.get("content-length", "0") != "0" or "transfer-encoding" in given
    end = {"Connection": "close"} if has_body else {}
    await answer(found, {**(headers or {}), **end})(scope, receive, send)


def install(app: FastAPI) -> None:
    """Let `app` answer every error as a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


async def _service_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, ServiceError)  # noqa: S101  registered for it
    found = of(exc)
    if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request_failed", error=str(exc))
        return answer(found, {"Retry-After": RETRY_SECONDS})
    if isinstance(exc, NotTrainedYet) and not exc.ended:
        return answer(found, {"Retry-After": RETRY_SECONDS})
    return answer(found)


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101  registered for it
    code = BY_STATUS.get(exc.status_code, "bad-request")
    detail, headers = str(exc.detail), dict(exc.headers or {})
    if code == "too-large":
        detail = too_large(request.scope).detail
    elif detail == HTTPStatus(exc.status_code).phrase:  # Starlette's own, which says nothing
        detail = f"{PROBLEM_TYPES[code].title}; /docs lists the routes."
    if code == "method-not-allowed":
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("Allow", "")
        detail = f"{PROBLEM_TYPES[code].title} {request.method}; it knows: {headers['Allow']}."
    return answer(problem(code, detail), headers)


def _methods(request: Request) -> list[str]:
    """Return the methods of an address; Starlette's own list has those of one route of several."""
    scopes = [{**request.scope, "method": method} for method in ("GET", "HEAD", "POST", "DELETE")]
    return [
        str(scope["method"])
        for scope in scopes
        for route in request.app.routes
        if route.matches(scope)[0] == Match.FULL
    ]


async def _gone(_: Request, __: Exception) -> Response:
    """Answer nobody: the client left, or was sent away, before its body was complete."""
    return answer(problem("request-timeout", "The body did not come to its end."))


async def _unexpected(request: Request, exc: Exception) -> Response:
    logger.error("request_crashed", path=request.url.path, exc_info=exc)
    return answer(problem("internal", "An unexpected error; the log of the service says more."))


async def _validation_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101  registered for it
    return answer(of_validation(exc.errors()))


def of_validation(errors: Sequence[Any]) -> Problem:
    """Return what pydantic found, with a pointer and a hint each, and nothing of the input."""
    first = errors[0]
    if first["type"] == "json_invalid":
        where = first["loc"][-1]
        why = first.get("ctx", {}).get("error", "")
        at = f" at character {where}" if isinstance(where, int) else ""
        return problem("malformed-json", f"The body is not JSON{at}: {_short(why)}")
    if first["loc"][:1] == ("path",):
        where = f"{first['loc'][-1]} {_short(worded(first))}"
        return problem("not-found", f"There is nothing at this address: {where}.")
    items = [_item(error) for error in errors[:MAX_ITEMS]]
    count = f"{len(errors)} values need" if len(errors) > 1 else "One value needs"
    return problem("invalid", f"{count} a change: {items[0].pointer}: {items[0].detail}", items)


def _item(error: Mapping[str, Any]) -> ProblemItem:
    error = _of_a_choice(error)
    loc, kind = error["loc"], error["type"]
    unknown = "unknown parameter" if loc[0] == "query" else "unknown field"
    detail = unknown if kind == "extra_forbidden" else _short(worded(error))
    return ProblemItem(pointer=pointer(loc), detail=detail, hint=_hint(error))


def _of_a_choice(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an error of one of several models, told apart by `type`, as if there were but one."""
    loc = error["loc"]
    if error["type"] == "union_tag_invalid":
        context = {"expected": error["ctx"]["expected_tags"].replace(", ", " or ")}
        given = error["ctx"]["tag"]
        return {"type": "literal_error", "loc": (*loc, "type"), "input": given, "ctx": context}
    if loc[1:2] == ("optimizer",) and len(loc) > 2 and loc[2] in OPTIMIZERS:
        return {**error, "loc": (*loc[:2], *loc[3:])}
    return error


def _hint(error: Mapping[str, Any]) -> str | None:
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return _hint_for_unknown(error)
    if kind in ("literal_error", "enum") and isinstance(given, str):
        return _did_you_mean(given, re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    if kind in AN_OBJECT:
        return FORMS.get(str(error["loc"][-1]))
    if kind == "missing" and error["loc"] == ("body",):
        return "send a JSON body with Content-Type: application/json; {} takes every default"
    return None


def _hint_for_unknown(error: Mapping[str, Any]) -> str | None:
    name = str(error["loc"][-1])
    if error["loc"][0] == "query":
        return _did_you_mean(name, error["ctx"]["known"])
    if error["loc"][1] == "optimizer" and error["input"] in OPTIMIZERS:
        return "did you mean 'type'?"
    fields = {field for model in REQUEST_MODELS for field in model.model_fields}
    if name in fields:
        return f"it belongs to {_owners(name)}"
    if meant := SYNONYMS.get(name):
        return f"did you mean {meant!r}, which belongs to {_owners(meant)}?"
    return _did_you_mean(name, fields)


def _owners(field: str) -> str:
    """Return which parts of a body have this field."""
    owners = [model for model in REQUEST_MODELS if field in model.model_fields]
    return " or ".join(PARTS.get(model.__name__, model.__name__) for model in owners)


def _did_you_mean(word: str, known: Iterable[str]) -> str | None:
    by_lower = {name.lower(): name for name in sorted(known)}
    close = get_close_matches(word[:MAX_WORD].lower(), by_lower, n=1)
    return f"did you mean {by_lower[close[0]]!r}?" if close else None


def pointer(loc: Sequence[str | int]) -> str:
    """Return where `loc` points: a JSON Pointer into the body, `?name` or a header's name."""
    place, *rest = loc
    names = [_clean(str(part)) for part in rest if part != "[key]"]
    if place == "query":
        return "?" + "/".join(names)
    if place != "body":
        return f"{place} " + "/".join(names)
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in names)
    return "#" + "".join(f"/{name}" for name in escaped)


def _short(text: str) -> str:
    text = _clean(text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _clean(text: str) -> str:
    """Return `text` as valid Unicode without control characters: it may hold a client's bytes."""
    visible = text.encode("utf-8", "replace").decode()[: MAX_TEXT + 1]
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in visible
    )
