"""What evaluations have in common: which network is asked about which images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import HTTPException
from pydantic import Field

from service.api.comma_lists import SEPARATED
from service.api.dependencies import Services
from service.api.sample_choice import SplitName, check_split
from service.api.validation import QueryParameters
from service.domain.dataset_manifest import InputForm, Manifest
from service.domain.errors import DatasetDiffers, EvaluationTooLarge
from service.inference.evaluate import Evaluation, Labels, evaluate
from service.inference.loaded_model import LoadedModel
from service.inference.stored_rows import stored_rows
from service.store.evaluation_rows import EvaluationQuestion
from service.store.stored_dataset import DatasetInfo

Normalize = Literal["never", "auto"]

MAX_LOGITS = 40_000_000
"""Most rows times classes, of which each takes four bytes of memory."""


class SplitQuery(QueryParameters):
    dataset: str | None = Field(
        None,
        max_length=160,
        description="The data set, by its name or as `name@sha256:…`; by default the one on which "
        "the network was trained. Another one must have images of the same shape and the same "
        "classes, in any order.",
    )
    split: SplitName = Field(
        "test", description="The training, the test or, if there is one, the validation set."
    )
    normalize: Normalize = Field(
        "never",
        description="Whether images are brought into MNIST's form first, as `predict` does it: "
        "not at all, or those that do not have it. Only for networks of digits.",
    )

    def asked(self) -> dict[str, str]:
        """Return the parameters with which an address asks about the same images."""
        return self.model_dump(include={"dataset", "split", "normalize"}, exclude_defaults=True)

    @property
    def rival(self) -> str | None:
        """Another network that is asked about the same images, if the parameters name one."""
        return None


class EvaluationQuery(SplitQuery):
    bins: int = Field(
        15, ge=2, le=100, description="Number of intervals of probability in the calibration."
    )
    top_k: Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(max_length=10), SEPARATED] = (
        Field(
            [1, 3, 5],
            description="In how many of the most probable classes an image's own is looked for, "
            "separated by commas; numbers above that of the classes are left out.",
        )
    )

    calibrate: Literal["none", "temperature"] = Field(
        "none",
        description="`temperature` also fits the temperature that makes probabilities more "
        "trustworthy, on the validation set or else on every second image, and measures it on the "
        "others.",
    )


@dataclass(frozen=True)
class Evaluated:
    """A network, what it was asked about, and what it said; labels are those of the network."""

    model: LoadedModel
    dataset: DatasetInfo
    split: SplitName
    normalize: Normalize
    classes: list[str]
    """Names, in the order of the network's labels."""
    found: Evaluation

    def named(self) -> dict[str, Any]:
        """Return the fields that name the network and the images."""
        checkpoint = self.model.checkpoint
        return {
            "model": self.model.job,
            "epochs_done": checkpoint.epochs_done,
            "checkpoint_sha256": checkpoint.sha256,
            "dataset": self.dataset.name,
            "dataset_sha256": self.dataset.sha256,
            "split": self.split,
            "normalize": self.normalize,
        }


def evaluated(
    services: Services,
    model: LoadedModel,
    info: DatasetInfo | None,
    split: SplitName,
    normalize: Normalize = "never",
) -> Evaluated:
    """Return what a network says about all images of a split, by default of its own data set.

    Raises:
        DatasetGone: the files of the data set have been deleted.
        DatasetDiffers: it has other images or classes than the network expects.
        EvaluationTooLarge: the network or the set is too large.
        HTTPException: the set has no such split, or its images are no digits.
        NetworkDiverged: the network's outputs are not finite.

    """
    # What it was trained on, whatever has its name now.
    info = info or DatasetInfo(model.dataset, model.manifest)
    question = question_about(model, info, split, normalize)
    about = info.sha256, split, normalize
    found = services.evaluations.of(model, about, partial(_made, services, model, question))
    return Evaluated(model, info, split, normalize, list(model.manifest.classes), found)


def question_about(
    model: LoadedModel, info: DatasetInfo, split: SplitName, normalize: Normalize, ref: str = ""
) -> EvaluationQuestion:
    """Return which network is asked about which images.

    Args:
        model: the network.
        info: the data set.
        split: its split.
        normalize: whether images are brought into MNIST's form first.
        ref: names the network in addresses; by default its job does.

    Raises:
        DatasetDiffers: the data set has other images or classes than the network expects.
        HTTPException: it has no such split, or its images are no digits.

    """
    labels = _labels(model.manifest, info)
    check_split(info, split)
    if normalize != "never" and model.manifest.input != InputForm.DIGIT:
        raise HTTPException(
            422, "Only images of digits can be brought into MNIST's form: leave out `normalize`."
        )
    rows = info.manifest.rows[split]
    return EvaluationQuestion(
        ref=ref or model.job,
        checkpoint=model.checkpoint,
        dataset=info.name,
        dataset_ref=None if info.sha256 == model.manifest.sha256 else info.ref,
        dataset_sha256=info.sha256,
        split=split,
        normalize=normalize,
        labels=None if labels is None else labels.tolist(),
        rows=rows,
        flops=flops(model, rows),
    )


def flops(model: LoadedModel, rows: int) -> float:
    """Return how many floating-point operations it takes to read some rows."""
    return 2.0 * rows * sum(W.size for W in model.network.weights)


def check_queueable(services: Services, model: LoadedModel, question: EvaluationQuestion) -> None:
    """Check that a worker can make an evaluation.

    Raises:
        EvaluationTooLarge: it needs more than any job may, or its result is too large.

    """
    logits = question.rows * model.network.sizes[-1]
    if question.flops > services.limits.job_flops or logits > MAX_LOGITS:
        raise EvaluationTooLarge(question.rows)


def _made(services: Services, model: LoadedModel, question: EvaluationQuestion) -> Evaluation:
    """Return an evaluation that a worker has made, or make it now.

    Raises:
        EvaluationTooLarge: it takes too long for one answer, and no worker has made it.

    """
    if stored := services.evaluation_tasks.result(model.job, question.key):
        return Evaluation.decoded(stored)
    check_queueable(services, model, question)
    if question.flops > services.limits.evaluation_flops:
        raise EvaluationTooLarge(question.rows, can_be_queued=True)
    about = question.dataset_sha256, question.split, question.normalize
    rows = stored_rows(services.datasets.files, *about)
    labels = None if question.labels is None else np.array(question.labels, np.uint8)
    return evaluate(model, rows, labels)


def _labels(own: Manifest, info: DatasetInfo) -> Labels | None:
    """Return the network's label for each label of a data set; None if they are the same.

    Raises:
        DatasetDiffers: it has other images or classes than the network expects.

    """
    other = info.manifest
    if own.shape != other.shape:
        shapes = ["x".join(map(str, each.shape)) for each in (other, own)]
        raise DatasetDiffers(info.name, f"its images have {shapes[0]} pixels, and not {shapes[1]}")
    if own.classes == other.classes:
        return None
    if sorted(own.classes) != sorted(other.classes):
        raise DatasetDiffers(info.name, _difference(own.classes, other.classes))
    return np.array([own.classes.index(name) for name in other.classes], np.uint8)


def _difference(own: Sequence[str], other: Sequence[str]) -> str:
    """Return in words what the classes of another data set have, and what they lack."""
    extra = [name for name in other if name not in own]
    missing = [name for name in own if name not in other]
    parts = [("has the classes", extra), ("lacks", missing)]
    return " and ".join(f"it {verb} {_some(names)}" for verb, names in parts if names)


def _some(names: list[str], most: int = 5) -> str:
    listed = ", ".join(repr(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
