"""The bodies of the requests that collect samples and freeze them, and their description."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mlp_client.dataset_options import ClassName, DatasetOptions
from service.api.openapi_schemas import reference
from service.api.predict_schema import BINARY, JSON, SEVEN_PNG, ImageInput


class LabelledInput(BaseModel):
    """An image, and what it shows."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    label: ClassName = Field(description="The name of its class, such as `7`.")
    image: ImageInput = Field(description="The image, in one of the forms of a prediction.")


class Freeze(BaseModel):
    """How the samples become a data set."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    base: Annotated[str, Field(min_length=1, max_length=160)] | None = Field(
        None,
        description="A data set to whose training rows the samples are added, by its name or "
        "`name@sha256:…`; null makes a set of the samples alone.",
    )
    options: DatasetOptions = Field(
        default_factory=DatasetOptions,
        description="The options of the check, as for uploads. With `base` these are `classes`, "
        "`description`, `license` and `attribution`; everything else is as in that set.",
    )


SAMPLE_BODY: dict[str, Any] = {
    "description": "JSON, or a picture as it is, with its label in the address.",
    "required": True,
    "content": {
        JSON: {
            "schema": reference("LabelledInput"),
            "examples": {
                "row": {
                    "summary": "A sample of a data set, with another label",
                    "value": {"label": "7", "image": {"dataset": "mnist", "index": 7}},
                },
                "file": {
                    "summary": "An image file",
                    "value": {"label": "7", "image": {"base64": SEVEN_PNG}},
                },
            },
        },
        "application/octet-stream": BINARY,
    },
}
FREEZE_EXAMPLES: dict[str, Any] = {
    "alone": {"summary": "The samples alone", "value": {}},
    "added": {"summary": "The training rows of a set, and the samples", "value": {"base": "mnist"}},
}
