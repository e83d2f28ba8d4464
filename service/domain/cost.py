"""What a spec costs, by arithmetic alone, so that what can't run is refused before it is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mlp_client.records import Cost
from mlp_client.spec import AdamW, Optimizer, Spec
from mlp_core import BLOCK_ROWS, IMAGES_PER_DEFORMATION
from service.domain.dataset_shape import Shape as Shape
from service.domain.errors import Flaw, SpecRefused

FLOAT_BYTES = 4
MAX_STEP_SECONDS = 2.0
"""A worker beats between steps; a longer one would look like a dead worker."""

# One core of a 2020s server, measured with OpenBLAS in float32. They only serve the estimate.
FLOPS_PER_SECOND = 100e9
SECONDS_PER_STEP = 40e-6
SECONDS_PER_PIXEL = 0.5e-9
SECONDS_PER_DEFORMATION = 0.25e-3  # of a group of images
SECONDS_PER_MOMENT = 1.3e-9


@dataclass(frozen=True)
class Limits:
    """What one job may ask for; the fields are Settings' `max_…`."""

    layers: int
    width: int
    parameters: int
    epochs: int
    batch_size: int
    job_bytes: int
    job_flops: float


def cost_of(spec: Spec, data: Shape) -> Cost:
    """Return what training `spec` on `data` takes."""
    sizes = [data.inputs, *spec.hidden, data.classes]
    weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    parameters = weights + sum(sizes[1:])
    # Parameters, gradients and the network under evaluation; both networks again in a checkpoint,
    # as arrays and as bytes, and so what the optimiser keeps. The first weights have room behind
    # them for rare rows, so have their gradients, and those of an evaluated block are a copy. For
    # each row of a batch and of such a block: inputs (two kinds if images are deformed), and two
    # arrays for each output.
    copies = 7 + 3 * _moments(spec.optimizer)
    rows = spec.batch_size + BLOCK_ROWS
    deformed = spec.batch_size * sizes[0] if spec.augmentation else 0
    numbers = copies * parameters + 3 * sizes[0] * sizes[1] + deformed
    numbers += rows * (sizes[0] + 2 * sum(sizes[1:]))
    # 2 flops a weight forward, 2 for its gradient, 2 for the layer below (the inputs have none),
    # and 2 again when the row is evaluated.
    below_none = 2 * data.inputs * sizes[1]
    flops_per_epoch = (8 * weights - below_none) * data.train_rows + 2 * weights * data.test_rows
    steps = -(-data.train_rows // spec.batch_size)
    deformations = -(-spec.batch_size // IMAGES_PER_DEFORMATION) * steps if spec.augmentation else 0
    passed = 2 * data.train_rows + data.test_rows
    seconds_per_epoch = (
        flops_per_epoch / FLOPS_PER_SECOND
        + steps * SECONDS_PER_STEP * len(sizes) / 2
        + passed * sum(sizes) * SECONDS_PER_PIXEL
        + deformations * SECONDS_PER_DEFORMATION
        + steps * parameters * _moments(spec.optimizer) * SECONDS_PER_MOMENT
    )
    return Cost(
        parameters=parameters,
        bytes=FLOAT_BYTES * numbers,
        flops=float(spec.epochs * flops_per_epoch),
        seconds=round(spec.epochs * seconds_per_epoch, 1),
    )


def _moments(optimizer: Optimizer) -> int:
    """Return how many numbers the optimiser keeps for each parameter."""
    return 2 if isinstance(optimizer, AdamW) else int(optimizer.momentum > 0)


def check(spec: Spec, data: Shape, limits: Limits) -> Cost:
    """Return the cost of `spec`.

    Raises:
        SpecRefused: it is over a limit, with one flaw for each field to change.

    """
    if flaws := list(_field_flaws(spec, limits)):
        raise SpecRefused(flaws)
    cost = cost_of(spec, data)
    if flaws := list(_total_flaws(spec, cost, limits)):
        raise SpecRefused(flaws)
    return cost


def _field_flaws(spec: Spec, limits: Limits) -> Iterator[Flaw]:
    if len(spec.hidden) > limits.layers:
        yield _over("#/hidden", f"{len(spec.hidden):,} hidden layers", f"{limits.layers:,}")
    for index, width in enumerate(spec.hidden[: limits.layers]):
        if width > limits.width:
            yield _over(f"#/hidden/{index}", f"{width:,} units", f"{limits.width:,}")
    if spec.epochs > limits.epochs:
        yield _over("#/epochs", f"{spec.epochs:,} epochs", f"{limits.epochs:,}")
    if spec.batch_size > limits.batch_size:
        yield _over("#/batch_size", f"a batch of {spec.batch_size:,}", f"{limits.batch_size:,}")


def _total_flaws(spec: Spec, cost: Cost, limits: Limits) -> Iterator[Flaw]:
    if cost.parameters > limits.parameters:
        yield _over("#/hidden", f"{cost.parameters:,} parameters", f"{limits.parameters:,}")
    if cost.bytes > limits.job_bytes:
        yield _over("#/hidden", f"{cost.bytes:,} bytes of memory", f"{limits.job_bytes:,}")
    if cost.flops > limits.job_flops:
        yield _over("#/epochs", f"{cost.flops:.1e} operations", f"{limits.job_flops:.1e}")
    step_seconds = 6 * cost.parameters * spec.batch_size / FLOPS_PER_SECOND
    if step_seconds > MAX_STEP_SECONDS:
        detail = f"one step would take about {step_seconds:.0f} s, over {MAX_STEP_SECONDS:.0f} s"
        yield Flaw("#/batch_size", detail, "use a smaller batch_size or fewer hidden units")


def _over(pointer: str, asked: str, limit: str) -> Flaw:
    return Flaw(pointer, f"{asked} is over the limit of {limit}", f"use at most {limit}")
