"""How gradients change the parameters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.network import Parameters


class SGD:
    """Stochastic gradient descent with PyTorch's formulas (torch.optim.SGD).

    dW += l2 W                       weights only
    V = momentum V + dW              V is 0 at first
    dW = V                           with Nesterov instead dW += momentum V
    W -= learning_rate dW
    """

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        l2: float = 0.0,
    ) -> None:
        self._learning_rate = learning_rate
        self._momentum = momentum
        self._nesterov = nesterov
        self._l2 = l2
        self._velocities = parameters.zeros()
        self._scratch = parameters.zeros()

    @property
    def scale(self) -> float:
        """What `step` wants gradients multiplied by.

        Without momentum it is the learning rate: multiplying the small d_logits by it costs
        nothing, multiplying each dW another pass over memory.
        """
        return 1.0 if self._momentum else self._learning_rate

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The velocities, not copied, by name: momentum.layers.1.weight, …"""
        if not self._momentum:
            return {}
        return {f"momentum.{name}": V for name, V in self._velocities.arrays().items()}

    @property
    def moves_all(self) -> bool:
        """Whether even a weight whose gradient is 0 moves."""
        return bool(self._momentum or self._l2)

    def step(self, parameters: Parameters, gradients: Parameters) -> None:
        """Change parameters, in place, by their gradients times `scale`, which are used up.

        They are those of the whole network if it `moves_all`, else also those of a narrower one.
        """
        if self._l2:
            self._decay(parameters, gradients)
        if self._momentum:
            self._follow_velocities(gradients)
        for W, dW in zip(parameters.flat, gradients.flat, strict=True):
            W -= dW

    def _decay(self, parameters: Parameters, gradients: Parameters) -> None:
        """Add the gradient of the L2 term, in place."""
        weights = parameters.weights
        for W, dW, scratch in zip(weights, gradients.weights, self._scratch.weights, strict=True):
            np.multiply(W, self._l2 * self.scale, out=scratch)
            dW += scratch

    def _follow_velocities(self, gradients: Parameters) -> None:
        """Change the velocities, and the gradients into learning rate times direction, in place."""
        arrays = zip(self._velocities.flat, gradients.flat, self._scratch.flat, strict=True)
        for V, dW, scratch in arrays:
            V *= self._momentum
            V += dW
            if self._nesterov:
                np.multiply(V, self._momentum, out=scratch)
                dW += scratch
                dW *= self._learning_rate
            else:
                np.multiply(V, self._learning_rate, out=dW)
