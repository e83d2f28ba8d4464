"""Says what to change in the spec of a network that has learned nothing or little."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.baseline import Baseline
from service.domain.dataset_manifest import InputForm, Manifest
from service.domain.fitted_spec import fitted

USUAL_LEARNING_RATE = {"sgd": 0.1, "adamw": 0.001}
LITTLE = 0.75
"""A network that gets less of what the baseline gets wrong has learned little."""
KNOWN_BY_HEART = 0.15
"""The accuracy on training images is so much higher than that on test images."""
STILL_FALLING = 0.9
"""The part of its loss that a network keeps in the last quarter of its epochs."""
FEW_EPOCHS = 4
"""With fewer epochs, the loss of any network is still falling."""
IMBALANCE = 3
"""The largest class has so many times the training images of the smallest."""
LARGE_SIDE = 64


def late_epoch(last: int) -> int:
    """Return the number of the epoch after which a quarter of all is left."""
    return last * 3 // 4


@dataclass(frozen=True)
class Outcome:
    """How the training of a job has ended."""

    spec: Mapping[str, Any]
    manifest: Manifest
    baseline: Baseline
    epochs: Sequence[Mapping[str, Any]]
    """The first, the late and the last one at least, with numbers, losses and accuracies."""

    @property
    def accuracy(self) -> float:
        """The accuracy on the test set."""
        return float(self.epochs[-1]["test_accuracy"])

    @property
    def learned(self) -> bool:
        return self.baseline.is_beaten_by(self.accuracy)

    @property
    def learned_little(self) -> bool:
        """Whether the network has learned something, and could have learned much more."""
        least = self.baseline.accuracy + LITTLE * (1 - self.baseline.accuracy)
        return self.learned and self.accuracy < least

    @property
    def usual_rate(self) -> float:
        """The learning rate that a spec gets which does not give it."""
        usual = USUAL_LEARNING_RATE[self.spec["optimizer"]["type"]]
        given = {"learning_rate": usual, "batch_size": self.spec["batch_size"]}
        return float(
            fitted(given, ("batch_size",), self.manifest.sizes).get("learning_rate", usual)
        )

    @property
    def is_at_chance(self) -> bool:
        """Whether the network knows its training images no better than by their shares."""
        shares = [count / self.manifest.sizes.train_rows for count in self.train_counts if count]
        chance = -sum(share * math.log(share) for share in shares)
        return bool(self.epochs[-1]["train_loss"] > 0.98 * chance)

    @property
    def train_counts(self) -> Sequence[int]:
        return self.manifest.class_counts["train"]

    @property
    def loss_rose(self) -> bool:
        return bool(self.epochs[-1]["train_loss"] > 1.05 * self.epochs[0]["train_loss"])

    @property
    def knows_by_heart(self) -> bool:
        return bool(self.epochs[-1]["train_accuracy"] - self.accuracy > KNOWN_BY_HEART)

    @property
    def is_still_falling(self) -> bool:
        last = self.epochs[-1]
        late = [it for it in self.epochs if it["number"] == late_epoch(last["number"])]
        if last["number"] < FEW_EPOCHS or not late:
            return False
        return bool(last["train_loss"] < STILL_FALLING * late[0]["train_loss"])

    @property
    def is_unbalanced(self) -> bool:
        """Whether classes are of very different sizes, and count by them."""
        counts = [count for count in self.train_counts if count]
        return not self.spec.get("class_weights") and max(counts) >= IMBALANCE * min(counts)


def advice_for_nothing(outcome: Outcome) -> str:
    """Return what to change in the spec of a network that has learned nothing."""
    rate, usual = outcome.spec["learning_rate"], outcome.usual_rate
    known = f"it was {rate:g}, and {usual:g} is usual with {outcome.spec['optimizer']['type']}"
    if usual != USUAL_LEARNING_RATE[outcome.spec["optimizer"]["type"]]:
        known += f" and {outcome.manifest.n_in:,} inputs"
    if rate > usual:
        return f"Try a lower learning_rate: {known}.{_smaller(outcome)}"
    if outcome.is_unbalanced and outcome.accuracy >= outcome.baseline.accuracy:
        return _balanced(outcome)
    if outcome.loss_rose:
        first, last = outcome.epochs[0]["train_loss"], outcome.epochs[-1]["train_loss"]
        return (
            f"Try a lower learning_rate than {rate:g}: the training loss has risen from "
            f"{first:.3g} to {last:.3g}.{_smaller(outcome)}"
        )
    if rate < usual:
        return f"Try a higher learning_rate or more epochs: {known}."
    if outcome.is_at_chance and _smaller(outcome):
        return (
            f"Try a lower learning_rate than {rate:g}: the training loss has stayed that of "
            f"guesses.{_smaller(outcome)}{_uploaded_otherwise(outcome)}"
        )
    return advice_for_little(outcome) or _anything_else(outcome)


def advice_for_little(outcome: Outcome) -> str | None:
    """Return what to change in the spec of a network that has learned little, if that is clear."""
    if outcome.is_unbalanced and not outcome.knows_by_heart:
        return _balanced(outcome)
    if outcome.is_still_falling and outcome.epochs[-1]["train_accuracy"] < 1 - KNOWN_BY_HEART:
        return _longer(outcome)
    return _known_by_heart(outcome) if outcome.knows_by_heart else None


def _smaller(outcome: Outcome) -> str:
    shape = outcome.manifest.image_shape
    if shape is None or max(shape) <= LARGE_SIDE:
        return ""
    return (
        f" Images of {shape[0]}x{shape[1]} are also easier to learn if they are uploaded with the "
        "size 28."
    )


def _balanced(outcome: Outcome) -> str:
    counts, classes = outcome.train_counts, outcome.manifest.classes
    largest = classes[counts.index(max(counts))]
    return (
        f'Try "class_weights": "balanced": {largest!r} has {max(counts):,} training images, and '
        "rarer classes are hardly ever answered."
    )


def _longer(outcome: Outcome) -> str:
    count = outcome.epochs[-1]["number"]
    return f"Try more epochs than {count:,}: the training loss was still falling."


def _known_by_heart(outcome: Outcome) -> str:
    why = (
        f"the network gets {outcome.epochs[-1]['train_accuracy']:.1%} of its training images right "
        f"and {outcome.accuracy:.1%} of the test images"
    )
    if outcome.manifest.image_shape and not outcome.spec.get("augmentation"):
        way = 'Try "augmentation": {} with more epochs, or more training images'
    else:
        way = "Try more training data or fewer hidden units"
    return f"{way}: {why}.{_normalized(outcome)}"


def _anything_else(outcome: Outcome) -> str:
    rate = outcome.spec["learning_rate"]
    return (
        f"Try another learning_rate than {rate:g}, another initialization or more epochs."
        f"{_uploaded_otherwise(outcome)}"
    )


def _uploaded_otherwise(outcome: Outcome) -> str:
    """Return how images are learned better that may be dark on light, or photographs."""
    if outcome.manifest.input != InputForm.IMAGE or outcome.manifest.invert:
        return _normalized(outcome)
    return (
        " Images that are dark on light are learned if they are uploaded with invert=true, and "
        "photographs of letters or digits with normalize=true."
    )


def _normalized(outcome: Outcome) -> str:
    """Return how grey images are learned better if they are photographs."""
    if outcome.manifest.input != InputForm.IMAGE or outcome.manifest.channels != 1:
        return ""
    return (
        " Photographs of letters or digits are learned better if they are uploaded with "
        "normalize=true."
    )
