"""The fields of a spec as keyword arguments, so that type checkers find wrong names and types.

`job_spec.Spec` describes the fields and their bounds; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, SupportsFloat, SupportsIndex, TypeAlias, TypedDict

Whole: TypeAlias = SupportsIndex
"""A whole number, also one of NumPy."""
Real: TypeAlias = SupportsFloat
"""Any number, also one of NumPy."""


class SgdFields(TypedDict, total=False):
    """Options of the optimizer `sgd`."""

    type: Literal["sgd"]
    momentum: Real
    nesterov: bool


class AdamWFields(TypedDict, total=False):
    """Options of the optimizer `adamw`."""

    type: Literal["adamw"]
    weight_decay: Real
    beta1: Real
    beta2: Real


class AugmentationFields(TypedDict, total=False):
    """Options of the deformation of the training images."""

    rotation: Real
    scale: Real
    shear: Real
    translation: Real
    elastic: Real
    smoothness: Real


class SpecFields(TypedDict, total=False):
    """The fields of a spec, without the preset."""

    name: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    dataset: str
    hidden: Sequence[Whole]
    activation: Literal["relu", "sigmoid", "tanh"]
    initialization: Literal["he_normal", "glorot_uniform"]
    initial_bias: Real
    epochs: Whole
    batch_size: Whole
    learning_rate: Real
    optimizer: Literal["sgd", "adamw"] | SgdFields | AdamWFields
    l2: Real
    schedule: Literal["constant", "cosine"]
    augmentation: AugmentationFields | None
    class_weights: Literal["balanced"] | Mapping[str, Real] | None
    seed: Whole
