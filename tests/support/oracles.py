"""Independent ways to the right answer: slow, in float64, and obviously correct."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Pairs: TypeAlias = Sequence[tuple[Array, Array]]
"""W (n_in, n_out) and b (n_out,) of each layer."""
Function: TypeAlias = Callable[[float], float]

ACTIVATION: dict[str, Function] = {
    "relu": lambda z: z if z > 0 else 0.0,
    "sigmoid": lambda z: 1 / (1 + float(np.exp(-z))),
    "tanh": lambda z: float((np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))),
}
SLOPE: dict[str, Function] = {
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": lambda z: float(np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "tanh": lambda z: float(4 / (np.exp(z) + np.exp(-z)) ** 2),
}


def check_gradient(
    loss: Callable[[list[Array]], float],
    gradient: Sequence[Array],
    at: Sequence[Array],
    rng: np.random.Generator,
    tolerance: float = 1e-7,
) -> None:
    """Compare a gradient with one central difference along one random direction.

    After the idea of autograd's test_util: one number tests all components together.
    """
    step = 1e-6
    direction = [rng.standard_normal(array.shape) for array in at]
    ahead = loss([array + step * d for array, d in zip(at, direction, strict=True)])
    behind = loss([array - step * d for array, d in zip(at, direction, strict=True)])
    numeric = (ahead - behind) / (2 * step)
    analytic = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
    error = abs(analytic - numeric) / max(1.0, abs(numeric))
    assert error < tolerance, f"gradient along a direction: {analytic=}, {numeric=}"


def each(function: Function, values: Array) -> Array:
    """Apply a function of a number to each value."""
    return np.array([function(value) for value in values])


def row_passes(parameters: Pairs, activation: str, x: Array) -> tuple[list[Array], list[Array]]:
    """Z and H of all layers for one row; the last Z are the logits."""
    Z: list[Array] = []
    H: list[Array] = [np.asarray(x, np.float64)]
    for W, b in parameters:
        Z.append(W.T @ H[-1] + b)
        H.append(each(ACTIVATION[activation], Z[-1]))
    return Z, H


def row_probabilities(parameters: Pairs, activation: str, x: Array) -> Array:
    powers: Array = np.exp(row_passes(parameters, activation, x)[0][-1])
    total: Array = powers / powers.sum()
    return total


def row_gradients(
    parameters: Pairs, activation: str, x: Array, label: int
) -> list[tuple[Array, Array]]:
    """dW and db of each layer for one row."""
    Z, H = row_passes(parameters, activation, x)
    dZ = row_probabilities(parameters, activation, x) - np.eye(len(Z[-1]))[label]
    gradients: list[tuple[Array, Array]] = []
    for k in range(len(parameters) - 1, -1, -1):
        gradients.insert(0, (np.outer(H[k], dZ), dZ))
        if k:
            dZ = parameters[k][0] @ dZ * each(SLOPE[activation], Z[k - 1])
    return gradients


def evaluate(parameters: Pairs, activation: str, X: Array, labels: Array) -> tuple[float, float]:
    """Mean loss in nats and accuracy."""
    P = np.array([row_probabilities(parameters, activation, x) for x in X])
    losses = [-np.log(p[label]) for p, label in zip(P, labels, strict=True)]
    hits = [p.argmax() == label for p, label in zip(P, labels, strict=True)]
    return float(np.mean(losses)), float(np.mean(hits))


def adamw(
    theta: list[Array],
    gradients: Sequence[Array],
    state: dict[int, tuple[Array, Array]],
    t: int,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> None:
    """Take a step of torch.optim.AdamW as its documentation has it, without amsgrad, in place."""
    beta1, beta2 = betas
    for i, g in enumerate(gradients):
        m, v = state.get(i, (np.zeros_like(g), np.zeros_like(g)))
        if i % 2 == 0:
            theta[i] = theta[i] - learning_rate * weight_decay * theta[i]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        state[i] = m, v
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta[i] = theta[i] - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


def mean_gradients(theta: list[Array], activation: str, X: Array, labels: Array) -> list[Array]:
    """The gradient of the mean loss by each of theta's arrays (W, b, W, b, …)."""
    pairs = list(zip(theta[::2], theta[1::2], strict=True))
    rows = [row_gradients(pairs, activation, x, y) for x, y in zip(X, labels, strict=True)]
    return [np.mean([row[i // 2][i % 2] for row in rows], axis=0) for i in range(len(theta))]


def train(
    parameters: Pairs,
    activation: str,
    batches: Iterable[tuple[Array, Array]],
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    l2: float = 0.0,
) -> list[tuple[Array, Array]]:
    """The parameters after SGD, as in PyTorch's documentation, on batches (X, labels)."""
    theta = [np.array(array, np.float64) for pair in parameters for array in pair]
    velocities: dict[int, Array] = {}
    for X, labels in batches:
        gradients = mean_gradients(theta, activation, X, labels)
        for i, g in enumerate(gradients):
            if i % 2 == 0:
                g = g + l2 * theta[i]
            if momentum:
                velocities[i] = momentum * velocities[i] + g if i in velocities else g
                g = g + momentum * velocities[i] if nesterov else velocities[i]
            theta[i] = theta[i] - learning_rate * g
    return list(zip(theta[::2], theta[1::2], strict=True))
