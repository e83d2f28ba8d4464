"""Completes the OpenAPI document with examples, headers and API keys."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response

from mlp_client.dataset_options import DerivedDataset
from service.api import openapi_schemas
from service.api.conditional import MEDIA_TYPES
from service.api.content_negotiation import OCTETS
from service.api.dataset_event_schemas import DatasetEvent
from service.api.event_schemas import JobEvent
from service.api.openapi_successes import AUTHENTICATE, CACHING, RETRY_AFTER, SUCCESSES
from service.api.predict_schema import BINARY, PREDICT_FORM, PredictRequest
from service.api.sample_schema import LabelledInput
from service.api.stream_schemas import ServiceEvent
from service.api.validation import NO_PARAMETERS
from service.domain.principal import ANY_KEY

JSON = "application/json"
FRAMEWORKS_OWN = "Successful Response"
"""How FastAPI describes an answer that nothing else describes."""
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
TENSORS: dict[str, Any] = {
    "type": "object",
    "description": "The arrays by name, and a description of the network.",
    "properties": {"__metadata__": {"type": "object", "additionalProperties": {"type": "string"}}},
    "required": ["__metadata__"],
    "additionalProperties": {"type": "array", "items": {}},
}
FILES: dict[str, Any] = {"text/csv": TEXT, JSON: {"schema": TENSORS}}
"""How to describe the files that are not binary, by media type."""


# --- What endpoints declare -----------------------------------------------------------------------

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client already has this answer: its `If-None-Match` names the ETag."}
}


def binary(*suffixes: str) -> dict[int | str, dict[str, Any]]:
    """Describe a conditional answer: a file in the media types of these suffixes."""
    types = [MEDIA_TYPES[suffix].split(";")[0] for suffix in suffixes]
    content = {media_type: FILES.get(media_type, BINARY) for media_type in [*types, OCTETS]}
    return {200: {"content": content}, **NOT_MODIFIED}


def file_route(*suffixes: str) -> dict[str, Any]:
    """Describe a route without query parameters that sends a file in these formats."""
    return {
        "response_class": Response,
        "responses": binary(*suffixes),
        "dependencies": [NO_PARAMETERS],
    }


# --- The document ---------------------------------------------------------------------------------


def install(app: FastAPI, needed_scope: Callable[[str, str], str | None], bearer: str) -> None:
    """Make `app` complete its OpenAPI document.

    Args:
        app: the application.
        needed_scope: returns the scope that a method and a path need, None if they need no key.
        bearer: says what an API key is and how to send one.

    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _describe_authentication(document, bearer)
            _complete_schemas(document)
            for path, item in document["paths"].items():
                for method, operation in item.items():
                    _describe_success(operation)
                    _describe_failures(operation, needed_scope(method.upper(), path))
        return generate()  # FastAPI keeps the document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _describe_authentication(document: dict[str, Any], bearer: str) -> None:
    scheme = {"type": "http", "scheme": "bearer", "description": bearer}
    document["components"]["securitySchemes"] = {"bearer": scheme}
    # The second requirement is empty, because no key is needed as long as none was created.
    document["security"] = [{"bearer": []}, {}]


def _complete_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    # Events contain records that answers have, too, and always with all fields: these come first.
    sent = openapi_schemas.of_models(
        PredictRequest, LabelledInput, DerivedDataset, JobEvent, ServiceEvent, DatasetEvent
    )
    schemas |= {name: schema for name, schema in sent.items() if name not in schemas}
    schemas["PredictForm"] = PREDICT_FORM
    openapi_schemas.without_defaults(schemas)
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                openapi_schemas.without_parameter_default(parameter)


def _describe_success(operation: dict[str, Any]) -> None:
    success = SUCCESSES[operation["operationId"]]
    responses = operation["responses"]
    answers = {status: it for status, it in responses.items() if status[0] == "2"}
    for response in answers.values():
        if len(answers) == 1 or response["description"] == FRAMEWORKS_OWN:
            response["description"] = success.description
        if "content" not in response:
            continue
        for media_type in response.get("content", {}).values():
            media_type.pop("itemSchema", None)  # OpenAPI 3.2 has it, and this is a 3.1 document
        if success.example is not None:
            response["content"][JSON]["example"] = success.example
        headers = dict(success.headers)
        if "304" in responses:
            headers |= CACHING
            responses["304"]["headers"] = CACHING
        if headers:
            response["headers"] = headers


def _describe_failures(operation: dict[str, Any], scope: str | None) -> None:
    default = operation["responses"]["default"]
    default["headers"] = RETRY_AFTER
    if scope is None:
        operation["security"] = []
        return
    content = default["content"]
    operation["responses"] |= {
        "401": {
            "description": "The request has no valid API key.",
            "headers": AUTHENTICATE,
            "content": content,
        },
    }
    if scope != ANY_KEY:
        description = f"The key does not have the scope `{scope}`."
        operation["responses"]["403"] = {"description": description, "content": content}
