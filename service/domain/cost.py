"""Computes what a job costs before it runs, so that one that can't run is refused immediately."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from mlp_core import BLOCK_ROWS, IMAGES_PER_DEFORMATION, Recipe
from service.domain.dataset_shape import Shape
from service.domain.errors import Flaw, SpecRefused

FLOAT_BYTES = 4
MAX_STEP_SECONDS = 2.0
"""A worker writes heartbeats only between steps; during a longer step it would look dead."""

# Measured on one core of a server of the 2020s, with OpenBLAS in float32. They are used for the
# estimated run time.
FLOPS_PER_SECOND = 100e9
SECONDS_PER_STEP = 40e-6
SECONDS_PER_PIXEL = 0.5e-9
SECONDS_PER_DEFORMATION = 0.25e-3 / 784
"""Seconds to deform one group of images, for each of their pixels."""
SECONDS_PER_MOMENT = 1.3e-9
"""Seconds to update one number that the optimizer keeps for a parameter, in one step."""


WORKER_BYTES = 64 * 1024**2
"""Memory that a worker takes beside its arrays: the interpreter, libraries and its share of what
all workers map."""


@dataclass(frozen=True)
class Cost:
    """The estimated cost of a training run."""

    parameters: int
    """Weights and biases."""
    bytes: int
    """Memory of a worker for the arrays of the network and of a batch."""
    flops: float
    """Floating-point operations of all epochs, evaluation included."""
    seconds: float
    """Estimated run time on one core."""


@dataclass(frozen=True)
class Limits:
    """The most that one job may need; the fields are the settings `max_…`."""

    layers: int
    width: int
    parameters: int
    epochs: int
    batch_size: int
    job_bytes: int
    job_flops: float
    evaluation_flops: float = 2e12
    """The most that is computed for one answer, which takes some 20 seconds."""


def cost_of(recipe: Recipe, data: Shape) -> Cost:
    """Return the cost of training by `recipe` on `data`."""
    sizes = [data.inputs, *recipe.hidden, data.classes]
    weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    parameters = weights + sum(sizes[1:])
    # 2 operations for each weight forward, 2 for its gradient, 2 for the layer below (which the
    # first layer does not have), and 2 again when the row is evaluated.
    not_below = 2 * data.inputs * sizes[1]
    flops_per_epoch = (8 * weights - not_below) * data.train_rows + 2 * weights * data.test_rows
    seconds_per_epoch = _seconds_per_epoch(recipe, data, sizes, parameters, flops_per_epoch)
    return Cost(
        parameters=parameters,
        bytes=FLOAT_BYTES * _numbers_in_memory(recipe, sizes, parameters),
        flops=float(recipe.epochs * flops_per_epoch),
        seconds=round(recipe.epochs * seconds_per_epoch, 1),
    )


def worker_bytes(cost: Cost) -> int:
    """Return the memory that the worker of a job takes."""
    return cost.bytes + WORKER_BYTES


def data_bytes(data: Shape) -> int:
    """Return the address space that a worker needs for a data set and its data layout.

    The layout copies columns that a block needs, up to twice the pixels: once in memory, where the
    first worker makes it, and once mapped.
    """
    pixels = (data.train_rows + data.test_rows) * (data.inputs + 1)
    return (1 + 2 + 2) * pixels


def _numbers_in_memory(recipe: Recipe, sizes: list[int], parameters: int) -> int:
    # Seven copies of the parameters: the network, its gradients and the network being evaluated,
    # and both networks twice in a checkpoint, as arrays and as bytes. The optimizer's moments are
    # kept once and are twice in a checkpoint.
    copies = 7 + 3 * _moments(recipe)
    # The first layer's weights and gradients have spare room for rare rows, and evaluating a block
    # takes a copy of the weights.
    first_layer = 3 * sizes[0] * sizes[1]
    # Each row of a batch and of an evaluated block needs its inputs, and two arrays per output. If
    # images are deformed, the inputs of a batch are there twice.
    rows = recipe.batch_size + BLOCK_ROWS
    deformed = recipe.batch_size * sizes[0] if recipe.augmentation else 0
    return copies * parameters + first_layer + deformed + rows * (sizes[0] + 2 * sum(sizes[1:]))


def _seconds_per_epoch(
    recipe: Recipe, data: Shape, sizes: list[int], parameters: int, flops: int
) -> float:
    steps = -(-data.train_rows // recipe.batch_size)
    deformations = (
        -(-recipe.batch_size // IMAGES_PER_DEFORMATION) * steps if recipe.augmentation else 0
    )
    rows = 2 * data.train_rows + data.test_rows
    return (
        flops / FLOPS_PER_SECOND
        + steps * SECONDS_PER_STEP * len(sizes) / 2
        + rows * sum(sizes) * SECONDS_PER_PIXEL
        + deformations * data.inputs * SECONDS_PER_DEFORMATION
        + steps * parameters * _moments(recipe) * SECONDS_PER_MOMENT
    )


def _moments(recipe: Recipe) -> int:
    """Return how many numbers the optimizer keeps for each parameter."""
    return 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)


def check(recipe: Recipe, data: Shape, limits: Limits) -> Cost:
    """Return the cost of training by `recipe` on `data`.

    Raises:
        SpecRefused: the cost is over a limit; there is one flaw for each field to change.

    """
    if flaws := list(_field_flaws(recipe, limits)):
        raise SpecRefused(flaws)
    cost = cost_of(recipe, data)
    if flaws := list(_total_flaws(recipe, cost, limits)):
        raise SpecRefused(flaws)
    return cost


def _field_flaws(recipe: Recipe, limits: Limits) -> Iterator[Flaw]:
    layers = len(recipe.hidden)
    if layers > limits.layers:
        yield _over("#/hidden", f"{layers:,} hidden layers", f"{limits.layers:,}")
    for index, width in enumerate(recipe.hidden[: limits.layers]):
        if width > limits.width:
            yield _too_many(f"#/hidden/{index}", f"{width:,} units", limits.width)
    if recipe.epochs > limits.epochs:
        yield _too_many("#/epochs", f"{recipe.epochs:,} epochs", limits.epochs)
    if recipe.batch_size > limits.batch_size:
        yield _too_many("#/batch_size", f"a batch of {recipe.batch_size:,}", limits.batch_size)


def _total_flaws(recipe: Recipe, cost: Cost, limits: Limits) -> Iterator[Flaw]:
    if cost.parameters > limits.parameters:
        yield _over("#/hidden", f"{cost.parameters:,} parameters", f"{limits.parameters:,}")
    if cost.bytes > limits.job_bytes:
        yield _over("#/hidden", f"{cost.bytes:,} bytes of memory", f"{limits.job_bytes:,}")
    if cost.flops > limits.job_flops:
        detail = f"{cost.flops:.1e} operations is over the limit of {limits.job_flops:.1e}"
        fewer = int(recipe.epochs * limits.job_flops / cost.flops)
        hint = f"use at most {fewer:,} epochs" if fewer else "use fewer hidden units"
        yield Flaw("#/epochs", detail, hint, fewer or None)
    step_seconds = 6 * cost.parameters * recipe.batch_size / FLOPS_PER_SECOND
    if step_seconds > MAX_STEP_SECONDS:
        detail = f"one step would take about {step_seconds:.0f} s, over {MAX_STEP_SECONDS:.0f} s"
        smaller = int(recipe.batch_size * MAX_STEP_SECONDS / step_seconds)
        hint = "use a smaller batch_size or fewer hidden units"
        yield Flaw("#/batch_size", detail, hint, smaller or None)


def _too_many(pointer: str, asked: str, limit: int) -> Flaw:
    return replace(_over(pointer, asked, f"{limit:,}"), suggestion=limit)


def _over(pointer: str, asked: str, limit: str) -> Flaw:
    return Flaw(pointer, f"{asked} is over the limit of {limit}", f"use at most {limit}")
