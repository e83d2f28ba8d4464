"""Makes the schemas of the OpenAPI document plain enough for the generators of clients.

A generated client sends the defaults that a schema names. So a field that a preset fills must have
none, or the client's default would override the preset; and a default that is an object is more
than most generators can write down. The descriptions say what the defaults are instead.
"""

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlp_client.job_spec import PRESETS, Spec

REFERENCE = "#/components/schemas/{model}"
PRESET_FIELDS = {name for fields in PRESETS.values() for name in fields}

Schema = dict[str, Any]


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": REFERENCE.format(model=name)}


def of_models(*models: type[BaseModel]) -> dict[str, Schema]:
    """Return the schemas of what is sent, and of what it consists of, by name."""
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    schemas: dict[str, Schema] = found["$defs"]
    return schemas


def without_defaults(schemas: dict[str, Schema]) -> None:
    """Replace the defaults of all fields by words; those of answers mean nothing, and go."""
    for name, schema in schemas.items():
        is_request = "additionalProperties" in schema  # answers never say whether they have more
        for field, described in schema.get("properties", {}).items():
            default = described.pop("default", None)
            if is_request and default is not None:
                from_preset = name == Spec.__name__ and field in PRESET_FIELDS
                end = ", unless the preset sets it." if from_preset else "."
                described["description"] += _words(default) + end


def without_parameter_default(parameter: dict[str, Any]) -> None:
    """Replace a parameter's default by words; an empty one is the same as no parameter."""
    schema = parameter["schema"]
    schema.pop("description", None)  # the parameter's own says the same
    if default := schema.pop("default", None):
        parameter["description"] += _words(default) + "."


def _words(default: object) -> str:
    return f" Default: `{json.dumps(default)}`"
