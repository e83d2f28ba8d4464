"""How gradients change the parameters."""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Vector
from mlp_core.network import Parameters

SLICE = (
    32_768  # numbers; several arrays of so many stay in the cache through all steps of a formula
)
FORGET_STEPS = 32  # in which 0.6 or more, to that power, leaves what is no less than FAINT normal
FAINT = 1e-30


class Optimizer(Protocol):
    """What changes the parameters."""

    moves_all: bool
    """Whether even a weight whose gradient is 0 moves."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it carries from step to step, by name, not copied."""
        ...

    def scale(self, rate: float) -> float:
        """What `step` wants gradients multiplied by, at this learning rate."""
        ...

    def step(self, parameters: Parameters, gradients: Parameters, rate: float, number: int) -> None:
        """Change parameters, in place, by their gradients times `scale`, which are used up.

        Args:
            parameters: of the whole network if it `moves_all`, else also of a narrower one.
            gradients: of the same shapes.
            rate: the learning rate of this step.
            number: of this step in the run, from 1.

        """
        ...


class SGD:
    """Stochastic gradient descent with PyTorch's formulas (torch.optim.SGD).

    dW += l2 W                       weights only
    V = momentum V + dW              V is 0 at first
    dW = V                           with Nesterov instead dW += momentum V
    W -= rate dW
    """

    def __init__(
        self,
        parameters: Parameters,
        momentum: float = 0.0,
        nesterov: bool = False,
        l2: float = 0.0,
    ) -> None:
        self._momentum = momentum
        self._nesterov = nesterov
        self._l2 = l2
        self._velocities = parameters.zeros()
        self._scratch = parameters.zeros()
        self.moves_all = bool(momentum or l2)

    def scale(self, rate: float) -> float:
        """Without momentum the learning rate.

        Multiplying the small d_logits by it costs nothing, multiplying each dW another pass over
        memory.
        """
        return 1.0 if self._momentum else rate

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The velocities: momentum.layers.1.weight, …"""
        if not self._momentum:
            return {}
        return {f"momentum.{name}": V for name, V in self._velocities.arrays().items()}

    def step(self, parameters: Parameters, gradients: Parameters, rate: float, number: int) -> None:
        if self._l2:
            self._decay(parameters, gradients, self._l2 * self.scale(rate))
        if self._momentum:
            self._follow_velocities(gradients, rate)
        for W, dW in zip(parameters.flat, gradients.flat, strict=True):
            W -= dW
        if self._momentum and number % FORGET_STEPS == 0:
            _forget_faint(self._velocities)

    def _decay(self, parameters: Parameters, gradients: Parameters, l2: float) -> None:
        """Add the gradient of the L2 term, in place."""
        weights = parameters.weights
        for W, dW, scratch in zip(weights, gradients.weights, self._scratch.weights, strict=True):
            np.multiply(W, l2, out=scratch)
            dW += scratch

    def _follow_velocities(self, gradients: Parameters, rate: float) -> None:
        """Change the velocities, and the gradients into learning rate times direction, in place."""
        arrays = zip(self._velocities.flat, gradients.flat, self._scratch.flat, strict=True)
        for V, dW, scratch in arrays:
            V *= self._momentum
            V += dW
            if self._nesterov:
                np.multiply(V, self._momentum, out=scratch)
                dW += scratch
                dW *= rate
            else:
                np.multiply(V, rate, out=dW)


class AdamW:
    """Adam with weight decay of its own (Loshchilov and Hutter, 2019; torch.optim.AdamW).

    W -= rate weight_decay W         weights only
    M = beta1 M + (1 - beta1) dW     M and V are 0 at first
    V = beta2 V + (1 - beta2) dW²
    W -= rate M / (1 - beta1^t) / (sqrt(V / (1 - beta2^t)) + EPSILON)      t: the step's number

    Kept are the sums M / (1 - beta1) and V / (1 - beta2): two passes over memory less.
    """

    moves_all = True
    EPSILON = 1e-8

    def __init__(
        self, parameters: Parameters, weight_decay: float, beta1: float, beta2: float
    ) -> None:
        self._weight_decay = weight_decay
        self._betas = beta1, beta2
        self._first, self._second = parameters.zeros(), parameters.zeros()
        self._scratch = np.empty(SLICE, np.float32)

    def scale(self, rate: float) -> float:
        del rate
        return 1.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sums of gradients and of their squares: first.layers.1.weight, …, second.…"""
        moments = {"first": self._first, "second": self._second}
        return {
            f"{moment}.{name}": array
            for moment, parameters in moments.items()
            for name, array in parameters.arrays().items()
        }

    def step(self, parameters: Parameters, gradients: Parameters, rate: float, number: int) -> None:
        for weights in parameters.weights:
            weights *= 1 - rate * self._weight_decay
        arrays = (parameters.flat, gradients.flat, self._first.flat, self._second.flat)
        for each in zip(*arrays, strict=True):
            flat = [array.reshape(-1) for array in each]
            for start in range(0, flat[0].size, SLICE):
                W, dW, M, V = (array[start : start + SLICE] for array in flat)
                self._move(W, dW, M, V, rate, number)
        if number % FORGET_STEPS == 0:
            _forget_faint(self._first)
            _forget_faint(self._second)

    def _move(self, W: Vector, dW: Vector, M: Vector, V: Vector, rate: float, number: int) -> None:
        beta1, beta2 = self._betas
        # sqrt(V / (1 - beta2^t)) of the formula is this times the root of the sum that is kept.
        root = math.sqrt((1 - beta2) / (1 - beta2**number))
        scratch = self._scratch[: len(W)]
        M *= beta1
        M += dW
        dW *= dW
        V *= beta2
        V += dW
        np.sqrt(V, out=scratch)
        scratch += self.EPSILON / root
        np.divide(M, scratch, out=scratch)
        scratch *= rate * (1 - beta1) / (1 - beta1**number) / root
        W -= scratch


def _forget_faint(sums: Parameters) -> None:
    """Set to 0 what has decayed to almost nothing and would move no weight by a bit.

    Without gradients, as of inputs that are black for long, a velocity decays to a subnormal number
    and stays one: 0.9 times the least of them is rounded to itself. With subnormal numbers, Intel's
    processors take fifty times as long: epochs with momentum or AdamW took 1.25 times as long.
    """
    for array in sums.flat:
        flat = array.reshape(-1)
        for start in range(0, flat.size, SLICE):
            part = flat[start : start + SLICE]
            part[np.abs(part) < FAINT] = 0
