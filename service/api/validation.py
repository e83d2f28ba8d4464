"""Describes what is wrong with a request: pydantic's errors in plain words, with hints."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_origin

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from mlp_client.dataset_options import DatasetOptions, Derivation, DerivedDataset, SplitOption
from mlp_client.evaluation_records import EvaluationRequest
from mlp_client.job_spec import AdamW, Augmentation, JobLabels, Sgd, Spec
from mlp_client.records import ProblemItem
from service.api import predict_route
from service.api.predict_schema import ImageInput, PredictRequest

MAX_TEXT = 300
MAX_WORD = 64
MAX_ITEMS = 20

NOT_AN_OBJECT = ("model_attributes_type", "model_type", "dict_type")
CHOICES = ("literal_error", "enum")
WORDING = {
    **dict.fromkeys(NOT_AN_OBJECT, "must be an object"),
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("string_type", "string_unicode"), "must be text"),
    "list_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    **dict.fromkeys(CHOICES, "must be {expected}"),
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "has characters that are not allowed here, such as a line break",
    "too_short": "must not be empty",
    "too_long": "must have {max_length} items or fewer",
    "missing": "is missing",
}
"""What is wrong, by pydantic's name for it; `{…}` is a value from the error's context."""
FORMS = {
    "optimizer": 'for example "adamw" or {"type": "sgd", "momentum": 0.9}',
    "class_weights": 'for example "balanced" or {"7": 2}; null lets all images count the same',
    "augmentation": 'for example {} or {"rotation": 5}; null leaves the images as they are',
    "label": 'for example {"column": "digit"} if that is the column of the label',
    "split": 'for example {"test": 0.2} to test on a fifth of the rows',
}
"""Examples for fields that take an object."""
TYPED_ARRAY = "in JavaScript, Array.from(…) makes a list of a typed array"
LEAVE_OUT = "leave the field out to take its default"
"""Many programs write null for a field that is not set."""
MISSING: dict[tuple[str | int, ...], str] = {
    ("body", "inputs"): 'for example {"inputs": [{"base64": "iVBORw0…"}]}',
    ("body",): "send a JSON body with Content-Type: application/json, at least {}",
}
"""What to send, by the place where something is missing."""
SYNONYMS = {"lr": "learning_rate", "layers": "hidden"}
"""Names that other libraries use for some of the fields."""
OPTIMIZERS = ("sgd", "adamw")
TAGS = {"optimizer": OPTIMIZERS, "class_weights": ("balanced", "weights")}
"""What pydantic puts behind the name of a field that has several forms."""
Owners = Mapping[type[BaseModel], str]
OWNERS: dict[type[BaseModel], str] = {
    Spec: "the spec itself",
    Sgd: "an optimizer of type sgd",
    AdamW: "an optimizer of type adamw",
    Augmentation: "augmentation",
}
"""The models that jobs are submitted with, as a hint names them."""
PREDICT_OWNERS: dict[type[BaseModel], str] = {
    PredictRequest: "the body itself",
    ImageInput: "an input",
}
"""The same for predictions."""
LABEL_OWNERS: dict[type[BaseModel], str] = {JobLabels: "the labels of a job"}
"""The same for labels, the one kind of body that changes something in place."""
DATASET_OWNERS: dict[type[BaseModel], str] = {
    DerivedDataset: "the body itself",
    Derivation: "from",
    SplitOption: "split",
}
"""The same for data sets that are made of others."""
EVALUATION_OWNERS: dict[type[BaseModel], str] = {EvaluationRequest: "the body itself"}
"""The same for evaluations that are queued."""
KEEPS_ITS_SPEC = "a job keeps its spec, of which only name, tags and metadata can be changed"


# --- Query parameters -----------------------------------------------------------------------------


class QueryParameters(BaseModel):
    """Base of the query parameters of a route; those that it does not declare are refused."""

    model_config = ConfigDict(extra="forbid")


async def _no_parameters(_: Annotated[QueryParameters, Query()]) -> None:
    """Refuse all query parameters."""


NO_PARAMETERS = Depends(_no_parameters)
"""The dependency of a route that takes no query parameters."""


async def refuse_repeated(request: Request) -> None:
    """Refuse a query parameter that is sent twice: FastAPI would ignore all but the last one."""
    if not request.url.query:
        return
    fields = _query_fields(request.scope["route"])
    sent = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in sent.items() if times > 1 and _is_single(fields.get(name))]
    if repeated:  # reported with the unknown ones, which the route's model does not get to see
        errors = [_query_error(name, "value_error", _times(sent[name])) for name in repeated]
        unknown = [_query_error(name, "extra_forbidden", "") for name in sent if name not in fields]
        raise RequestValidationError(errors + unknown)


def _is_single(type_: Any) -> bool:
    """Return whether a parameter of this type takes one value; None is the type of unknown ones."""
    return type_ is not None and get_origin(type_) is not list


def _times(times: int) -> str:
    return f"is sent {times} times; send it once"


def _query_error(name: str, type_: str, message: str) -> dict[str, Any]:
    """Return an error about a query parameter in pydantic's form."""
    return {"type": type_, "loc": ("query", name), "msg": message, "input": None}


def _query_fields(route: APIRoute) -> dict[str, Any]:
    """Return the types of a route's query parameters, by name."""
    models = [field.field_info.annotation for field in route.dependant.query_params]
    return {
        name: field.annotation
        for model in models
        if isinstance(model, type) and issubclass(model, QueryParameters)
        for name, field in _fields(model).items()
    }


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields by the names that clients use."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


# --- Wording --------------------------------------------------------------------------------------


def problem_items(errors: Sequence[Any], route: APIRoute | None) -> list[ProblemItem]:
    """Return pydantic's errors with a pointer and perhaps a hint, and nothing of the input."""
    query_names = list(_query_fields(route)) if route else []
    owners = _owners_at(route)
    return [_item(error, query_names, owners) for error in errors[:MAX_ITEMS]]


def _owners_at(route: APIRoute | None) -> Owners:
    """Return the models that the body of a route is made of."""
    if route and predict_route.is_prediction("POST", route.path):
        return PREDICT_OWNERS
    if route and route.path.startswith("/v1/datasets"):
        return DATASET_OWNERS
    if route and route.path.startswith("/v1/evaluations"):
        return EVALUATION_OWNERS
    return LABEL_OWNERS if route and "PATCH" in (route.methods or ()) else OWNERS


def _item(error: Mapping[str, Any], query_names: list[str], owners: Owners) -> ProblemItem:
    error = _without_tag(error)
    loc = error["loc"]
    unknown = "unknown parameter" if loc[0] == "query" else "unknown field"
    detail = unknown if error["type"] == "extra_forbidden" else shortened(worded(error))
    return ProblemItem(
        pointer=pointer(loc),
        detail=detail,
        hint=_hint(error, query_names, owners),
        suggestion=_suggestion(error),
    )


def _without_tag(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an error in one of several models, told apart by `type`, as if there were only one."""
    loc = error["loc"]
    if error["type"] == "union_tag_invalid":
        context = {"expected": error["ctx"]["expected_tags"].replace(", ", " or ")}
        given = error["ctx"]["tag"]
        return {"type": "literal_error", "loc": (*loc, "type"), "input": given, "ctx": context}
    if len(loc) > 2 and loc[2] in TAGS.get(str(loc[1]), ()):
        return {**error, "loc": (*loc[:2], *loc[3:])}
    return error


def worded(error: Mapping[str, Any]) -> str:
    """Return what is wrong, as a sentence without its subject."""
    wording = WORDING.get(error["type"])
    if wording is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return wording.format_map({name: _plain(it) for name, it in error.get("ctx", {}).items()})


def _plain(value: object) -> object:
    """Return 1000.0 as 1,000, and other values unchanged."""
    value = _whole(value)
    return f"{value:,}" if isinstance(value, int) else value


def _whole(value: Any) -> Any:
    """Return 1000 for 1000.0, and other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


# --- Hints ----------------------------------------------------------------------------------------


def _hint(error: Mapping[str, Any], query_names: list[str], owners: Owners) -> str | None:
    kind, given = error["type"], error.get("input")
    if error["loc"][1:-1] == ("options",):
        return _hint_for_dataset_option(error)
    if kind == "extra_forbidden" and error["loc"][0] == "query":
        return _did_you_mean(str(error["loc"][-1]), query_names)
    if kind == "extra_forbidden":
        return _hint_for_unknown_field(error, owners)
    if kind in CHOICES and isinstance(given, str):
        return _did_you_mean(given, _choices(error))
    if kind == "list_type" and isinstance(given, Mapping) and "0" in given:
        return TYPED_ARRAY
    if given is None and len(error["loc"]) > 1 and (kind.endswith("_type") or kind in CHOICES):
        return LEAVE_OUT
    if kind in NOT_AN_OBJECT:
        return FORMS.get(str(error["loc"][-1]))
    return MISSING.get(error["loc"]) if kind == "missing" else None


def _suggestion(error: Mapping[str, Any]) -> int | float | str | None:
    """Return the nearest value that is allowed, for programs; of an open range, the default."""
    kind, context = error["type"], error.get("ctx", {})
    found: int | float | None = None
    if kind in ("less_than_equal", "greater_than_equal"):
        found = _whole(context.get("le", context.get("ge")))
    elif kind in ("less_than", "greater_than") and error["loc"] == ("body", "learning_rate"):
        found = Spec.model_fields["learning_rate"].default
    if kind in CHOICES and isinstance(error.get("input"), str):
        return _closest(error["input"], _choices(error))
    return found


def _choices(error: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def _hint_for_unknown_field(error: Mapping[str, Any], owners: Owners) -> str | None:
    name = str(error["loc"][-1])
    if error["loc"][1] == "optimizer" and error["input"] in OPTIMIZERS:
        return "did you mean 'type'?"
    if owners is LABEL_OWNERS and name in Spec.model_fields:
        return KEEPS_ITS_SPEC
    fields = {field for model in owners for field in _fields(model)}
    if name in fields:
        return f"it belongs to {_owners(name, owners)}"
    if (meant := SYNONYMS.get(name)) in fields:
        return f"did you mean {meant!r}, which belongs to {_owners(meant, owners)}?"
    return _did_you_mean(name, fields)


def _hint_for_dataset_option(error: Mapping[str, Any]) -> str | None:
    kind, name, given = error["type"], str(error["loc"][-1]), error.get("input")
    if kind == "extra_forbidden":
        return _did_you_mean(name, DatasetOptions.model_fields)
    if kind in CHOICES and isinstance(given, str):
        return _did_you_mean(given, _choices(error)) or FORMS.get(name)
    return None


def _owners(field: str, owners: Owners) -> str:
    """Return which parts of a body have this field."""
    return " or ".join(name for model, name in owners.items() if field in _fields(model))


def _did_you_mean(word: str, known: Iterable[str]) -> str | None:
    meant = _closest(word, known)
    return f"did you mean {meant!r}?" if meant else None


def _closest(word: str, known: Iterable[str]) -> str | None:
    by_lower = {name.lower(): name for name in sorted(known)}
    close = get_close_matches(word[:MAX_WORD].lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


# --- Text that may hold a client's bytes ----------------------------------------------------------


def shortened(text: str) -> str:
    """Return at most MAX_TEXT characters, all of them printable."""
    text = _clean(text)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _clean(text: str) -> str:
    """Return `text` as valid Unicode without control characters."""
    visible = text.encode("utf-8", "replace").decode()[: MAX_TEXT + 1]
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in visible
    )
