"""The spec of a job, as clients send it and as it is stored once it is resolved."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

SPEC_VERSION = 1
MAX_FIELDS = 100

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

# No control characters: names reach logs, pictures and terminals.
Printable = StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
Name = Annotated[str, Printable, StringConstraints(max_length=64)]
Label = Annotated[str, Printable, StringConstraints(min_length=1, max_length=64)]
Note = Annotated[str, Printable, StringConstraints(max_length=512)]


class Sgd(BaseModel):
    """Mini-batch stochastic gradient descent, by PyTorch's formulas."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    nesterov: bool = Field(False, description="look ahead along the momentum; needs momentum > 0")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, for example 0.9")
        return self


class AdamW(BaseModel):
    """Adam with weight decay of its own, by PyTorch's formulas."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["adamw"]
    weight_decay: float = Field(
        0.01, ge=0, le=1, allow_inf_nan=False, description="of weights, not of biases"
    )
    beta1: float = Field(0.9, ge=0, lt=1, allow_inf_nan=False)
    beta2: float = Field(0.999, ge=0, lt=1, allow_inf_nan=False)


def _in_full(value: object) -> object:
    """Let `"sgd"` stand for `{"type": "sgd"}`."""
    return {"type": value} if isinstance(value, str) else value


Optimizer = Annotated[
    Sgd | AdamW,
    Field(discriminator="type"),
    BeforeValidator(_in_full, json_schema_input_type=Literal["sgd", "adamw"] | Sgd | AdamW),
]
ADAMW_RATE = 0.001
"""The learning rate if none is given; with SGD's, AdamW hardly learns."""


class Augmentation(BaseModel):
    """Deforms each training image, differently in each epoch. What is not given is as in `{}`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rotation: float = Field(12.0, ge=0, le=180, allow_inf_nan=False, description="degrees, at most")
    scale: float = Field(
        0.12, ge=0, le=1, allow_inf_nan=False, description="either axis by exp(±scale), at most"
    )
    shear: float = Field(0.12, ge=0, le=1, allow_inf_nan=False, description="at most")
    translation: float = Field(
        2.0, ge=0, le=100, allow_inf_nan=False, description="pixels on either axis, at most"
    )
    elastic: float = Field(
        1.5,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="pixels: standard deviation of a smooth random displacement",
    )
    smoothness: float = Field(
        4.5,
        ge=0.5,
        le=100,
        allow_inf_nan=False,
        description="pixels: standard deviation of the Gaussian that smooths it",
    )


class Spec(BaseModel):
    """What a client asks for. Every field has a default; `{}` is the preset `mlp-relu`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    preset: PresetName | None = Field(None, description="fills the fields that are not given")
    name: Name = Field("", description="for people; shown in lists and pictures")
    tags: list[Label] = Field([], max_length=16)
    metadata: dict[Label, Note] = Field({}, max_length=16)
    dataset: Label = "mnist"
    hidden: list[Annotated[int, Field(ge=1, le=2**31)]] = Field(
        [128], max_length=4096, description="units of each hidden layer; [] is the linear model"
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field("relu", description="of hidden layers")
    initialization: Literal["he_normal", "glorot_uniform"] = "he_normal"
    initial_bias: float = Field(0.01, ge=-1e3, le=1e3, allow_inf_nan=False)
    epochs: int = Field(50, ge=1, le=2**31)
    batch_size: int = Field(64, ge=1, le=2**31)
    learning_rate: float = Field(
        0.1, gt=0, le=1e3, allow_inf_nan=False, description="with adamw 0.001 if not given"
    )
    optimizer: Optimizer = Sgd()
    l2: float = Field(
        0.0,
        ge=0,
        le=1e3,
        allow_inf_nan=False,
        description="adds l2 * W to the gradient of each weight; reported losses exclude it",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="of the learning rate; cosine: falls towards 0 until the end"
    )
    augmentation: Augmentation | None = None
    seed: int = Field(1, ge=0, le=2**53 - 1)

    @field_validator("l2")
    @classmethod
    def _l2_is_of_sgd(cls, l2: float, given: ValidationInfo) -> float:
        if l2 and isinstance(given.data.get("optimizer"), AdamW):
            raise ValueError("l2 belongs to sgd; adamw has a weight_decay of its own")
        return l2

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        if len(given) > MAX_FIELDS:  # to word an error about each of thousands would take long
            raise ValueError(f"a spec has {len(cls.model_fields)} fields, not {len(given):,}")
        preset = given.get("preset")
        fields = next((fields for name, fields in PRESETS.items() if name == preset), {})
        spec = {**fields, **given}
        optimizer = _in_full(spec.get("optimizer", "sgd"))
        if isinstance(optimizer, dict):  # the type may be the preset's
            spec["optimizer"] = {**fields.get("optimizer", {"type": "sgd"}), **optimizer}
            if spec["optimizer"]["type"] == "adamw":
                spec.setdefault("learning_rate", ADAMW_RATE)
        return spec


class StoredSgd(Sgd):
    model_config = ConfigDict(strict=False, extra="ignore", frozen=True)


class StoredAdamW(AdamW):
    model_config = ConfigDict(strict=False, extra="ignore", frozen=True)


class StoredAugmentation(Augmentation):
    model_config = ConfigDict(strict=False, extra="ignore", frozen=True)


class StoredSpec(Spec):
    """A resolved spec as it was accepted: read leniently, never filled from a preset again."""

    model_config = ConfigDict(strict=False, extra="ignore", frozen=True)

    optimizer: Annotated[StoredSgd | StoredAdamW, Field(discriminator="type")] = StoredSgd()
    augmentation: StoredAugmentation | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: object) -> object:
        return given
