"""The JSON body of a prediction request, and the OpenAPI description of all kinds of bodies."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from mlp_client.job_spec import WHOLE, Printable, WholeNumber
from service.api.comma_lists import SEPARATED
from service.api.openapi_schemas import reference
from service.inference.input_batch import Normalize

MAX_INPUTS = 10_000
MAX_CLASSES = 256
JSON, FORM = "application/json", "multipart/form-data"
NPY, RAW = "application/x-npy", "application/octet-stream"
NPZ, CSV = "application/x-npz", "text/csv"

DESCRIPTIONS = {
    "top_k": "How many labels to return for each image, most probable first; at most as many as "
    "the network has classes.",
    "normalize": "Whether to bring pictures into the form of the network's data set. For digits, "
    "`auto` brings them into MNIST's form unless they have it already, and `always` redraws every "
    "picture; for other images, `auto` fits them to the size of the set, and inverts and "
    "transposes them if the set was. `never` takes pictures of the set's size unchanged.",
    "return_pixels": "Whether to return the picture that the network saw, 28x28 for digits; the "
    "same as `pixels` in `return`.",
    "return": "What else to return for each image, as a list or separated by commas: `pixels`, the "
    "picture that the network saw; `probabilities` of all classes; `activations`, the outputs of "
    "each hidden layer; `votes` of the last hidden layer's units; `contributions` of the pixels. "
    "The last three for at most 64 images.",
    "for": "The class, counted from 0, that votes and contributions explain; by default the most "
    "probable one.",
    "against": "Its rival; by default the most probable other class.",
    "abstain_below": "The probability below which `abstained` says that the network does not know; "
    "without it, predictions do not have that field.",
    "calibrated": "Whether to divide the logits by the temperature that an evaluation with "
    "`calibrate=temperature` has fitted for this network, so that its probabilities can be "
    "trusted; 409 if there was none.",
}
"""Descriptions of the options, which are query parameters as well as fields of a JSON body."""

Returned = Literal["pixels", "probabilities", "activations", "votes", "contributions"]
ReturnList = Annotated[list[Returned], Field(max_length=20), SEPARATED]
DatasetRef = Annotated[str, Printable, StringConstraints(min_length=1, max_length=160)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
ClassLabel = Annotated[int, Field(ge=0, lt=MAX_CLASSES), WHOLE]


class ImageInput(BaseModel):
    """One image, as `pixels`, `values`, `base64` or a sample of a data set; or `features`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    pixels: list[Any] | None = Field(
        None,
        description="Grey levels, whole numbers from 0 to 255: rows of equal length of a picture "
        "of any size, or all numbers of one of the size that the network expects in one list, such "
        "as 784. In colour, each pixel is a list of red, green and blue.",
    )
    values: list[Any] | None = Field(
        None, description="The same as `pixels`, as numbers from 0 (black) to 1 (white)."
    )
    base64: str | None = Field(
        None, description="An image file in base64, with or without a `data:` URL's prefix."
    )
    features: dict[str, Any] | list[Any] | None = Field(
        None,
        description="For networks that were trained on a table: the numbers of a row by the names "
        "of its columns, or as a list in their order.",
    )
    dataset: DatasetRef | None = Field(
        None,
        description="The name of a data set, or `name@sha256:…` with the digest of its content; "
        "with `split` and `index` it names a sample.",
    )
    split: Literal["train", "validation", "test"] = Field(
        "test", description="The split of the sample."
    )
    index: Annotated[int, Field(ge=0, le=2**31), WHOLE] | None = Field(
        None, description="The sample's row in its split, counted from 0."
    )

    @model_validator(mode="after")
    def _has_one_form(self) -> "ImageInput":
        forms = ("pixels", "values", "base64", "features", "dataset")
        if sum(getattr(self, form) is not None for form in forms) != 1:
            raise ValueError(f"give exactly one of {', '.join(forms)}")
        if (self.dataset is None) != (self.index is None):
            raise ValueError("dataset and index belong together")
        return self


class PredictOptions(BaseModel):
    """Options for the answer, in a body that also holds the images."""

    model_config = ConfigDict(strict=True, extra="forbid")

    top_k: WholeNumber = Field(3, ge=1, le=MAX_CLASSES, description=DESCRIPTIONS["top_k"])
    normalize: Normalize = Field("auto", description=DESCRIPTIONS["normalize"])
    return_pixels: bool = Field(False, description=DESCRIPTIONS["return_pixels"])
    return_: ReturnList = Field([], alias="return", description=DESCRIPTIONS["return"])
    for_: ClassLabel | None = Field(None, alias="for", description=DESCRIPTIONS["for"])
    against: ClassLabel | None = Field(None, description=DESCRIPTIONS["against"])
    abstain_below: Share | None = Field(None, description=DESCRIPTIONS["abstain_below"])
    calibrated: bool = Field(False, description=DESCRIPTIONS["calibrated"])


OPTIONS = frozenset(field.alias or name for name, field in PredictOptions.model_fields.items())
"""The names of the options in a body."""


class PredictRequest(PredictOptions):
    """Images to predict, and options for the answer."""

    inputs: list[ImageInput] = Field(
        min_length=1, max_length=MAX_INPUTS, description="The images, in one or several forms."
    )


SEVEN_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAAwUlEQVR42mNgGDaAEUKFpD77sfTFHeyS9xQYGBg+"
    "X4UKPuk6w8DAwMDAAuGm6l/TMnSweCzLwPDntSTDozPIOhkYGBgYBA3PmDIw/Lh1XShnGi5nBP+9KIRLTuzl/2Ao"
    "kwlDMlv0/U1cGq1//rPD6fHWf7tZcclxnv1hhVNj3b9tOOW8f3+wxCUnfPffMlxyzKf/3VbGJan2758vLjn5B/+K"
    "GXF78Z8JLjnbT+iSSGFrw8Nw9wuKJAsy56LzO+ITGABpETyQcCy90wAAAABJRU5ErkJggg=="
)
"""A digit of MNIST, as an image file in base64."""
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PREDICT_FORM: dict[str, Any] = {
    "title": "PredictForm",
    "type": "object",
    "description": "Image files as the parts of a form, in fields of any name, and options.",
    "properties": {
        "image": {
            "type": "array",
            "items": BINARY["schema"],
            "description": "The files; repeat the field for several.",
        },
        **PredictOptions.model_json_schema()["properties"],
    },
    "additionalProperties": BINARY["schema"],
}
"""The schema of a form. The endpoint reads bodies itself, so FastAPI can't describe them."""
REQUEST_BODY: dict[str, Any] = {
    "description": "The image or images.",
    "required": True,
    "content": {
        JSON: {
            "schema": reference("PredictRequest"),
            "examples": {
                "sample": {
                    "summary": "A sample of a data set",
                    "value": {"inputs": [{"dataset": "mnist", "index": 7}]},
                },
                "file": {
                    "summary": "An image file, and two labels in the answer",
                    "value": {"inputs": [{"base64": SEVEN_PNG}], "top_k": 2},
                },
            },
        },
        FORM: {"schema": reference("PredictForm")},
        RAW: BINARY,
    },
}
"""The body in OpenAPI's terms, in the media types that generators of clients know. The label of a
file may also be its own, such as image/png or application/x-npy."""
