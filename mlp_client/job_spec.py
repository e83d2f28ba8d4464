"""The spec of a job: as clients send it, and as the service stores it once it is resolved.

The descriptions of the fields appear in the service's OpenAPI document.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

SPEC_VERSION = 1
MAX_FIELDS = 100
"""A spec with more fields is refused with one error instead of one for each unknown field."""

PresetName = Literal["linear", "mlp-relu", "mlp-sigmoid", "mlp-augmented"]
PRESETS: dict[PresetName, dict[str, Any]] = {
    "linear": {"hidden": []},
    "mlp-relu": {"hidden": [128], "activation": "relu"},
    "mlp-sigmoid": {"hidden": [128], "activation": "sigmoid"},
    "mlp-augmented": {
        "hidden": [1024, 1024],
        "epochs": 75,
        "batch_size": 256,
        "learning_rate": 0.001,
        "optimizer": {"type": "adamw"},
        "schedule": "cosine",
        "augmentation": {},
    },
}
"""The fields that each preset sets."""


def _whole(value: object) -> object:
    """Return 5 for 5.0, which is the same number in JSON; and other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Makes an `int` accept a whole number however it is written: 5, 5.0 or 5e0.

Within a list or a union, it must come after the bounds, or JSON schemas lose them.
"""
WholeNumber = Annotated[int, WHOLE]

# Names end up in logs, pictures and terminals, so control characters are not allowed.
Printable = StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
Name = Annotated[str, Printable, StringConstraints(max_length=64)]
Label = Annotated[str, Printable, StringConstraints(min_length=1, max_length=64)]
DatasetRef = Annotated[str, Printable, StringConstraints(min_length=1, max_length=160)]
Note = Annotated[str, Printable, StringConstraints(max_length=512)]


MAX_TAGS, MAX_NOTES = 16, 16


class JobLabels(BaseModel):
    """The fields of a spec that can be changed later, because no training depends on them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Name | None = Field(None, description="The new name; null for none.")
    tags: list[Label] | None = Field(
        None, max_length=MAX_TAGS, description="The new tags, all of them; null for none."
    )
    metadata: dict[Label, Note | None] | None = Field(
        None,
        max_length=2 * MAX_NOTES,
        description="Notes to set, by key, and with null those to remove; null removes all.",
    )


class Sgd(BaseModel):
    """Mini-batch stochastic gradient descent, with PyTorch's formulas."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["sgd"] = Field("sgd", description="Selects this optimizer.")
    momentum: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="Momentum factor; 0 disables momentum."
    )
    nesterov: bool = Field(
        False, description="Use Nesterov's momentum; requires a momentum greater than 0."
    )

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov requires a momentum greater than 0, for example 0.9")
        return self


class AdamW(BaseModel):
    """Adam with decoupled weight decay, with PyTorch's formulas."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["adamw"] = Field(description="Selects this optimizer.")
    weight_decay: float = Field(
        0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Weight decay coefficient; applies to weights, not to biases.",
    )
    beta1: float = Field(
        0.9,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Decay rate of the running mean of the gradient.",
    )
    beta2: float = Field(
        0.999,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Decay rate of the running mean of the squared gradient.",
    )


def _expanded(value: object) -> object:
    """Return the object that a short form stands for: `{"type": "sgd"}` for `"sgd"`."""
    return {"type": value} if isinstance(value, str) else value


OptimizerName = Annotated[Literal["sgd", "adamw"], Field(title="Optimizer name")]
Optimizer = Annotated[
    Sgd | AdamW,
    Field(discriminator="type"),
    BeforeValidator(_expanded, json_schema_input_type=OptimizerName | Sgd | AdamW),
]
ADAMW_RATE = 0.001
"""The default learning rate with AdamW, which hardly learns with SGD's 0.1."""


class Augmentation(BaseModel):
    """Random deformations of the training images; each epoch draws new ones.

    Pixels are those of images of 28x28. For others they grow or shrink with the shorter side.
    The colours of a pixel move together. Rows of numbers can't be deformed.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rotation: float = Field(
        12.0, ge=0, le=180, allow_inf_nan=False, description="Largest rotation, in degrees."
    )
    scale: float = Field(
        0.12,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Largest scaling s: each axis is scaled by a factor from exp(-s) to exp(s).",
    )
    shear: float = Field(
        0.12,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Largest shear: pixels down for each pixel to the right.",
    )
    translation: float = Field(
        2.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Largest translation along each axis, in pixels of 28x28.",
    )
    elastic: float = Field(
        1.5,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Standard deviation of the elastic displacement, in pixels of 28x28; 0 "
        "disables it.",
    )
    smoothness: float = Field(
        4.5,
        ge=0.5,
        le=100,
        allow_inf_nan=False,
        description="Standard deviation, in pixels of 28x28, of the Gaussian that smooths the "
        "elastic displacement.",
    )


def _form_of_weights(value: object) -> str:
    return "weights" if isinstance(value, dict) else "balanced"


Weight = Annotated[float, Field(ge=0, le=1e3, allow_inf_nan=False)]
WeightByClass = Annotated[dict[Label, Weight], Field(title="Weights", min_length=1, max_length=256)]
ClassWeights = Annotated[
    Annotated[Literal["balanced"], Field(title="Balanced"), Tag("balanced")]
    | Annotated[WeightByClass, Tag("weights")],
    Discriminator(_form_of_weights),  # so that an error names one form, and not both
]


class Spec(BaseModel):
    """What to train, and how. Every field has a default; `{}` is the preset `mlp-relu`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    preset: Annotated[PresetName, Field(title="Preset name")] | None = Field(
        None, description="Preset that supplies the fields which are not given."
    )
    name: Name = Field("", description="Name for people; it appears in lists and pictures.")
    tags: list[Label] = Field([], max_length=MAX_TAGS, description="Labels of your own.")
    metadata: dict[Label, Note] = Field(
        {}, max_length=MAX_NOTES, description="Notes of your own, by key."
    )
    dataset: DatasetRef = Field(
        "mnist",
        description="Data set to train and test on: its name, or `name@sha256:…` for this content "
        "and no other.",
    )
    hidden: list[Annotated[int, Field(ge=1, le=2**31), WHOLE]] = Field(
        [128],
        max_length=4096,
        description="Number of units in each hidden layer; `[]` is the linear model.",
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field(
        "relu", description="Activation function of the hidden layers."
    )
    initialization: Literal["he_normal", "glorot_uniform"] = Field(
        "he_normal",
        description="Distribution of the initial weights: `he_normal` is normal with standard "
        "deviation sqrt(2 / n_in), `glorot_uniform` is uniform within ±sqrt(6 / (n_in + n_out)).",
    )
    initial_bias: float = Field(
        0.01, ge=-1e3, le=1e3, allow_inf_nan=False, description="Initial value of all biases."
    )
    epochs: WholeNumber = Field(
        50, ge=1, le=2**31, description="Number of passes over the training set."
    )
    batch_size: WholeNumber = Field(
        64,
        ge=1,
        le=2**31,
        description="Images in a mini-batch; the last one of an epoch may be smaller.",
    )
    learning_rate: float = Field(
        0.1,
        gt=0,
        le=1e3,
        allow_inf_nan=False,
        description="Learning rate; with `adamw` its default is 0.001.",
    )
    optimizer: Optimizer = Field(
        Sgd(), description="Optimizer with its options; a name alone selects the defaults."
    )
    l2: float = Field(
        0.0,
        ge=0,
        le=1e3,
        allow_inf_nan=False,
        description="L2 regularisation, only with `sgd`: adds l2 * W to the gradient of each "
        "weight matrix. Biases are not regularised, and the reported losses exclude the penalty.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant",
        description="Learning-rate schedule; `cosine` lets the rate fall towards 0 until the end.",
    )
    augmentation: Augmentation | None = Field(
        None,
        description="Deformation of the training images; `{}` uses the defaults, null leaves the "
        "images unchanged. Both sets are always evaluated unchanged.",
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="How much the images of each class count in training: `balanced` lets each "
        "class count the same, however many images it has; an object has weights by the names of "
        "classes, and 1 for those it does not name. The reported losses and accuracies are never "
        "weighted.",
    )
    seed: WholeNumber = Field(
        1,
        ge=0,
        le=2**53 - 1,
        description="Seed of all random numbers; an equal seed gives equal weights.",
    )

    @field_validator("l2")
    @classmethod
    def _l2_needs_sgd(cls, l2: float, given: ValidationInfo) -> float:
        if l2 and isinstance(given.data.get("optimizer"), AdamW):
            raise ValueError(
                "l2 works with sgd only; with adamw, set optimizer.weight_decay instead"
            )
        return l2

    _given: frozenset[str] = PrivateAttr(frozenset())

    @property
    def given(self) -> frozenset[str]:
        """The names of the fields that were given, and not filled in."""
        return self._given

    @model_validator(mode="wrap")
    @classmethod
    def _fill_from_preset(cls, given: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        spec = validate(cls._filled(given))
        if isinstance(given, dict):
            spec._given = frozenset(given)
        return spec

    @classmethod
    def _filled(cls, given: object) -> object:
        """Return what was given with the fields of the preset that it names."""
        if not isinstance(given, dict):
            return given
        if len(given) > MAX_FIELDS:
            raise ValueError(f"a spec has {len(cls.model_fields)} fields, not {len(given):,}")
        preset = given.get("preset")
        fields = next((fields for name, fields in PRESETS.items() if name == preset), {})
        spec = {**fields, **given}
        optimizer = _expanded(spec.get("optimizer", "sgd"))
        if isinstance(optimizer, dict):  # options without a type belong to the preset's optimizer
            spec["optimizer"] = {**fields.get("optimizer", {"type": "sgd"}), **optimizer}
            if spec["optimizer"]["type"] == "adamw":
                spec.setdefault("learning_rate", ADAMW_RATE)
        return spec


STORED = ConfigDict(
    strict=False,
    extra="ignore",
    frozen=True,
    json_schema_serialization_defaults_required=True,  # answers have all fields
)


class StoredSgd(Sgd):
    """Mini-batch stochastic gradient descent, with PyTorch's formulas."""

    model_config = STORED


class StoredAdamW(AdamW):
    """Adam with decoupled weight decay, with PyTorch's formulas."""

    model_config = STORED


class StoredAugmentation(Augmentation):
    """Random deformations of the training images; each epoch draws new ones.

    Pixels are those of images of 28x28. For others they grow or shrink with the shorter side.
    The colours of a pixel move together. Rows of numbers can't be deformed.
    """

    model_config = STORED


class StoredSpec(Spec):
    """A resolved spec, as it was accepted: read leniently, and never filled from a preset again."""

    model_config = STORED

    optimizer: Annotated[StoredSgd | StoredAdamW, Field(discriminator="type")] = Field(
        StoredSgd(), description="Optimizer with its options."
    )
    augmentation: StoredAugmentation | None = Field(
        None, description="Deformation of the training images; null leaves them unchanged."
    )

    @model_validator(mode="wrap")
    @classmethod
    def _fill_from_preset(cls, given: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        return validate(given)  # everything was filled in before it was stored
