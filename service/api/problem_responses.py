"""Turns every error into an RFC 9457 problem: the one table from exceptions to HTTP answers."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from mlp_client.records import Problem, ProblemItem
from service.api.addresses import Addresses
from service.api.predict_route import is_prediction
from service.api.problem_types import PROBLEM_TYPES
from service.api.public_path import public_path
from service.api.request_bodies import has_body
from service.api.validation import MAX_ITEMS, problem_items, shortened, worded
from service.domain.dataset_state import DatasetState
from service.domain.errors import (
    BadImage,
    BadModelRef,
    DamagedNotReady,
    DatasetDamaged,
    DatasetDiffers,
    DatasetExists,
    DatasetGone,
    DatasetInUse,
    DatasetNotFound,
    DatasetNotReady,
    DatasetShipped,
    EpochNotKept,
    EvaluationNotFound,
    EvaluationTooLarge,
    Flaw,
    JobNotFound,
    KeyRefused,
    KeyReused,
    LayerNotFound,
    NetworkDiverged,
    NotCalibrated,
    NotTrainedYet,
    QuotaExceeded,
    SampleNotFound,
    ServiceError,
    SpecRefused,
    StartUnknown,
    StoreBroken,
    StoreFull,
    TooManyEvaluations,
    TooManyTries,
    TooManyUploads,
    UploadTooLarge,
    WrongMove,
)
from service.domain.request_facts import REQUEST
from service.inference.image_decoding import MAX_IMAGE_BYTES

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
AUTHENTICATE = {"WWW-Authenticate": "Bearer"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The methods that the service supports at some address."""

CODES: dict[type[Exception], str] = {
    JobNotFound: "job-not-found",
    DatasetNotFound: "dataset-not-found",
    DatasetNotReady: "dataset-not-ready",
    SampleNotFound: "not-found",
    DamagedNotReady: "dataset-damaged",
    DatasetDamaged: "dataset-damaged",
    DatasetGone: "dataset-gone",
    DatasetExists: "dataset-exists",
    DatasetShipped: "dataset-shipped",
    DatasetInUse: "dataset-in-use",
    QuotaExceeded: "dataset-quota",
    EvaluationNotFound: "evaluation-not-found",
    EpochNotKept: "epoch-not-kept",
    BadModelRef: "epoch-not-kept",
    LayerNotFound: "layer-not-found",
    WrongMove: "wrong-move",
    NotTrainedYet: "no-checkpoint-yet",
    NotCalibrated: "not-calibrated",
    StartUnknown: "start-unknown",
    NetworkDiverged: "network-diverged",
    DatasetDiffers: "dataset-differs",
    EvaluationTooLarge: "evaluation-too-large",
    TooManyEvaluations: "too-many-evaluations",
    SpecRefused: "spec-refused",
    UploadTooLarge: "too-large",
    TooManyUploads: "too-many-uploads",
    KeyReused: "idempotency-key-reused",
    KeyRefused: "unauthenticated",
    TooManyTries: "too-many-tries",
    BadImage: "bad-image",
    StoreBroken: "store-unavailable",
    StoreFull: "disk-full",
}
UNREAD = (DatasetExists, QuotaExceeded, StoreFull, TooManyUploads, UploadTooLarge)
"""Errors that may come before the end of an upload's body."""
BY_STATUS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid",
}

BODY_LIMIT = "Content Too Large"
"""What Starlette says of a body over its route's limit; other limits have words of their own."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem: what is wrong, and what to change (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""Describes all error answers, for OpenAPI."""

logger = structlog.get_logger(__name__)


def problem(code: str, detail: str, errors: Sequence[ProblemItem] | None = None) -> Problem:
    """Return the problem with this code of `PROBLEM_TYPES`."""
    kind = PROBLEM_TYPES[code]
    return Problem(
        type=public_path(f"/problems/{code}"),
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=code,
        errors=list(errors) if errors else None,
    )


def too_large(scope: Scope) -> Problem:
    """Return the problem of a body that is too large, with the limit for its route and type."""
    limit, advice = scope[MAX_BODY_SIZE_SCOPE_KEY], "send less, or raise MLP_MAX_BODY_BYTES"
    if is_prediction(scope["method"], scope["path"]):
        advice = "send fewer images in a request, or smaller ones"
        if Headers(scope=scope).get("content-type", "").lower().startswith("image/"):
            limit, advice = min(limit, MAX_IMAGE_BYTES), "send a smaller picture"
    return problem("too-large", f"A body like this may have at most {limit:,} bytes: {advice}.")


def of(exc: ServiceError) -> Problem:
    """Return an error of the service as a problem."""
    code = next((CODES[kind] for kind in type(exc).__mro__ if kind in CODES), "internal")
    items = flaw_items(getattr(exc, "flaws", ()))
    found = problem(code, shortened(str(exc)), items)
    return found.model_copy(update=_about_image(exc)) if isinstance(exc, BadImage) else found


def flaw_items(flaws: Sequence[Flaw]) -> list[ProblemItem]:
    """Return what is wrong with a spec as items of a problem."""
    return [ProblemItem(**vars(flaw)) for flaw in flaws[:MAX_ITEMS]]


def _about_image(exc: BadImage) -> dict[str, Any]:
    """Return the reason, and where the image stands in the request if that is known."""
    if exc.place is None:
        return {"reason": exc.code}
    detail = str(exc).removeprefix(f"{exc.place}: ")
    item = ProblemItem(pointer=shortened(exc.place), detail=shortened(detail))
    return {"reason": exc.code, "errors": [item]}


def answer(found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP answer to a problem, with the id of the request."""
    if facts := REQUEST.get():
        facts.refusals += (found.reason or found.code,)
        found = found.model_copy(update={"request_id": facts.id})
    # Pydantic writes text as UTF-8; its parts are valid Unicode, because `shortened` made them so.
    body = found.model_dump_json(exclude_none=True)
    return Response(body, found.status, headers, media_type=MEDIA_TYPE)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    found: Problem,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a request before its body is read; one with a body also closes its connection."""
    close = {"Connection": "close"} if has_body(Headers(scope=scope)) else {}
    await answer(found, {**(headers or {}), **close})(scope, receive, send)


def install(app: FastAPI) -> None:
    """Make `app` answer every error as a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


async def _service_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, ServiceError)  # noqa: S101  registered for it
    found = of(exc)
    # What the client is about to send is not read any more.
    close = {"Connection": "close"} if isinstance(exc, UNREAD) else {}
    if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request_failed", error=str(exc))
        return answer(found, {"Retry-After": RETRY_SECONDS, **close})
    return answer(found, _headers_of(exc) | close)


def _headers_of(exc: ServiceError) -> dict[str, str]:
    if isinstance(exc, NotTrainedYet) and not exc.ended:
        return {"Retry-After": RETRY_SECONDS}
    if isinstance(exc, TooManyTries | TooManyUploads):
        return {"Retry-After": str(exc.seconds)}
    if isinstance(exc, DatasetExists) and exc.state == DatasetState.RECEIVING:
        return {"Retry-After": RETRY_SECONDS}
    return AUTHENTICATE if isinstance(exc, KeyRefused) else {}


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101  registered for it
    code = BY_STATUS.get(exc.status_code, "bad-request")
    detail, headers = str(exc.detail), dict(exc.headers or {})
    if detail == BODY_LIMIT:
        detail = too_large(request.scope).detail
    elif detail == HTTPStatus(exc.status_code).phrase:  # Starlette's default, which says nothing
        detail = f"{PROBLEM_TYPES[code].title}; {public_path('/docs')} lists the routes."
    if code == "method-not-allowed":
        headers["Allow"] = allowed = ", ".join(_methods(request))
        detail = f"{PROBLEM_TYPES[code].title} {request.method}; it supports: {allowed}."
    return answer(problem(code, detail), headers)


def _methods(request: Request) -> list[str]:
    """Return the methods that an address supports; Starlette's list has those of one route only."""
    addresses: Addresses = request.app.state.addresses
    declared = addresses.methods(request.scope["path"])
    head = {"HEAD"} if "GET" in declared else set()
    return [method for method in METHODS if method in {*declared, *head, "OPTIONS"}]


async def _disconnected(_: Request, __: Exception) -> Response:
    """Return an answer that nobody reads: the client left before its body was complete."""
    return answer(problem("request-timeout", "The body is incomplete."))


async def _unexpected(request: Request, exc: Exception) -> Response:
    logger.error("request_crashed", path=request.url.path, exc_info=exc)
    return crashed()


def crashed() -> Response:
    """Return the answer to a request that has met an unexpected error."""
    return answer(
        problem("internal", "An unexpected error occurred; the log of the service says more.")
    )


async def _validation_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101  registered for it
    errors = exc.errors()
    # A bad path is reported first: at another address, the query would have other parameters.
    first = next((error for error in errors if error["loc"][:1] == ("path",)), errors[0])
    if first["type"] == "json_invalid":
        return answer(_malformed_json(first))
    if first["loc"][:1] == ("path",):
        where = f"{first['loc'][-1]} {shortened(worded(first))}"
        return answer(problem("not-found", f"There is nothing at this address: {where}."))
    items = problem_items(errors, request.scope.get("route"))
    count = f"{len(errors)} values need" if len(errors) > 1 else "One value needs"
    detail = f"{count} a change: {items[0].pointer}: {items[0].detail}"
    return answer(problem("invalid", detail, items))


def _malformed_json(error: Mapping[str, Any]) -> Problem:
    reason = shortened(error["ctx"]["error"])
    return problem("malformed-json", f"The body can't be read as JSON: {reason}.")
