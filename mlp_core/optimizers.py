"""Optimizers: how gradients change the parameters."""

import math
from typing import Protocol

import numpy as np

from mlp_core.arrays import Arrays, Vector
from mlp_core.network import Parameters
from mlp_core.recipe import Recipe

# How many numbers of an array are updated together: a few chunks of this size stay in the cache
# through all operations of a formula.
CHUNK = 32_768
# Every FLUSH_STEPS steps, moments below TINY are set to 0. A moment that is not below TINY cannot
# become subnormal in 32 steps if it decays by a factor of 0.6 or more.
FLUSH_STEPS = 32
TINY = 1e-30


class Optimizer(Protocol):
    """Changes the parameters of a network, step by step."""

    moves_without_gradient: bool
    """Whether a weight may change although its gradient is 0."""

    def arrays(self) -> Arrays:
        """The state that is carried from step to step, by name, not copied."""
        ...

    def gradient_scale(self, learning_rate: float) -> float:
        """The factor that `step` expects in the gradients at this learning rate."""
        ...

    def step(
        self, parameters: Parameters, gradients: Parameters, learning_rate: float, number: int
    ) -> None:
        """Change `parameters` in place; the gradients are overwritten.

        Args:
            parameters: the parameters of the whole network if the optimizer
                `moves_without_gradient`; otherwise inputs may be left out, in both arguments alike.
            gradients: gradients of the same shapes, multiplied by `gradient_scale`.
            learning_rate: the learning rate of this step.
            number: the number of this step in the run, from 1.

        """
        ...


def optimizer_for(recipe: Recipe, parameters: Parameters) -> Optimizer:
    """Return the recipe's optimizer, with state for parameters of these shapes."""
    if recipe.optimizer == "adamw":
        return AdamW(parameters, recipe.weight_decay, recipe.beta1, recipe.beta2)
    return SGD(parameters, recipe.momentum, recipe.nesterov, recipe.l2)


class SGD:
    """Stochastic gradient descent, by the formulas of torch.optim.SGD.

    dW += l2 W                       weights only
    V = momentum V + dW              V starts at 0
    dW = V                           with Nesterov momentum instead: dW += momentum V
    W -= learning_rate dW
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
        self.moves_without_gradient = bool(momentum or l2)

    def gradient_scale(self, learning_rate: float) -> float:
        """The learning rate, or 1 with momentum.

        Scaling the small d_logits costs nothing; scaling each dW is another pass over memory.
        """
        return 1.0 if self._momentum else learning_rate

    def arrays(self) -> Arrays:
        """The velocities: momentum.layers.1.weight, …"""
        if not self._momentum:
            return {}
        return {f"momentum.{name}": V for name, V in self._velocities.arrays().items()}

    def step(
        self, parameters: Parameters, gradients: Parameters, learning_rate: float, number: int
    ) -> None:
        if self._l2:
            self._add_l2(parameters, gradients, self._l2 * self.gradient_scale(learning_rate))
        if self._momentum:
            self._apply_momentum(gradients, learning_rate)
        for W, dW in zip(parameters.flat, gradients.flat, strict=True):
            W -= dW
        if self._momentum and number % FLUSH_STEPS == 0:
            _flush_tiny(self._velocities)

    def _add_l2(self, parameters: Parameters, gradients: Parameters, l2: float) -> None:
        """Add the gradient of the L2 term, in place."""
        weights = parameters.weights
        for W, dW, scratch in zip(weights, gradients.weights, self._scratch.weights, strict=True):
            np.multiply(W, l2, out=scratch)
            dW += scratch

    def _apply_momentum(self, gradients: Parameters, learning_rate: float) -> None:
        """Update the velocities and turn the gradients into changes of W, in place."""
        arrays = zip(self._velocities.flat, gradients.flat, self._scratch.flat, strict=True)
        for V, dW, scratch in arrays:
            V *= self._momentum
            V += dW
            if self._nesterov:
                np.multiply(V, self._momentum, out=scratch)
                dW += scratch
                dW *= learning_rate
            else:
                np.multiply(V, learning_rate, out=dW)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as in torch.optim.AdamW.

    W -= learning_rate weight_decay W     weights only
    M = beta1 M + (1 - beta1) dW          M and V start at 0
    V = beta2 V + (1 - beta2) dW²
    W -= learning_rate M / (1 - beta1^t) / (sqrt(V / (1 - beta2^t)) + EPSILON)      t: step number

    The state is the sums M / (1 - beta1) and V / (1 - beta2), which saves two passes over memory.
    """

    moves_without_gradient = True
    EPSILON = 1e-8

    def __init__(
        self, parameters: Parameters, weight_decay: float, beta1: float, beta2: float
    ) -> None:
        self._weight_decay = weight_decay
        self._betas = beta1, beta2
        self._first, self._second = parameters.zeros(), parameters.zeros()
        self._scratch = np.empty(CHUNK, np.float32)

    def gradient_scale(self, learning_rate: float) -> float:
        del learning_rate
        return 1.0

    def arrays(self) -> Arrays:
        """The sums of the gradients and of their squares: first.layers.1.weight, …, second.…"""
        moments = {"first": self._first, "second": self._second}
        return {
            f"{moment}.{name}": array
            for moment, parameters in moments.items()
            for name, array in parameters.arrays().items()
        }

    def step(
        self, parameters: Parameters, gradients: Parameters, learning_rate: float, number: int
    ) -> None:
        for weights in parameters.weights:
            weights *= 1 - learning_rate * self._weight_decay
        arrays = (parameters.flat, gradients.flat, self._first.flat, self._second.flat)
        for each in zip(*arrays, strict=True):
            flat = [array.reshape(-1) for array in each]
            for start in range(0, flat[0].size, CHUNK):
                W, dW, M, V = (array[start : start + CHUNK] for array in flat)
                self._update(W, dW, M, V, learning_rate, number)
        if number % FLUSH_STEPS == 0:
            _flush_tiny(self._first)
            _flush_tiny(self._second)

    def _update(
        self, W: Vector, dW: Vector, M: Vector, V: Vector, learning_rate: float, number: int
    ) -> None:
        beta1, beta2 = self._betas
        # The formula's sqrt(V / (1 - beta2^t)) is this factor times the root of the stored sum.
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
        scratch *= learning_rate * (1 - beta1) / (1 - beta1**number) / root
        W -= scratch


def _flush_tiny(moments: Parameters) -> None:
    """Set moments to 0, in place, that are too small to change any bit of any weight.

    Where gradients stay 0 for long, as those of black pixels do, a velocity decays to a subnormal
    number and stays there: 0.9 times the smallest of them rounds to itself. Intel processors take
    fifty times as long for subnormal numbers, so that epochs with momentum or AdamW took 1.25 times
    as long.
    """
    for array in moments.flat:
        flat = array.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            chunk = flat[start : start + CHUNK]
            chunk[np.abs(chunk) < TINY] = 0
