"""Independent ways to the right answer: slow, in float64, and obviously correct."""

from collections.abc import Callable, Iterable

import numpy as np

HEIGHT = {
    "relu": lambda z: z if z > 0 else 0.0,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
}
SLOPE = {
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    "tanh": lambda z: 4 / (np.exp(z) + np.exp(-z)) ** 2,
}


def check_gradient(
    loss: Callable[[list[np.ndarray]], float],
    gradient: list[np.ndarray],
    at: list[np.ndarray],
    rng: np.random.Generator,
    tolerance: float = 1e-7,
) -> None:
    """Compare a gradient with one central difference along one random direction.

    After autograd's test_util: one number tells of all the components at once.
    """
    step = 1e-6
    direction = [rng.standard_normal(array.shape) for array in at]
    ahead = loss([array + step * d for array, d in zip(at, direction, strict=True)])
    behind = loss([array - step * d for array, d in zip(at, direction, strict=True)])
    numeric = (ahead - behind) / (2 * step)
    analytic = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
    error = abs(analytic - numeric) / max(1.0, abs(numeric))
    assert error < tolerance, f"gradient along a direction: {analytic=}, {numeric=}"


def each(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    return np.array([function(value) for value in values])


def row_passes(parameters, activation, x):
    """Z and H of all layers for one row; the last Z are the logits."""
    Z, H = [], [np.asarray(x, np.float64)]
    for W, b in parameters:
        Z.append(W.T @ H[-1] + b)
        H.append(each(HEIGHT[activation], Z[-1]))
    return Z, H


def row_probabilities(parameters, activation, x) -> np.ndarray:
    powers = np.exp(row_passes(parameters, activation, x)[0][-1])
    return powers / powers.sum()


def row_gradients(parameters, activation, x, label) -> list[tuple[np.ndarray, np.ndarray]]:
    Z, H = row_passes(parameters, activation, x)
    dZ = row_probabilities(parameters, activation, x) - np.eye(len(Z[-1]))[label]
    gradients = []
    for k in range(len(parameters) - 1, -1, -1):
        gradients.insert(0, (np.outer(H[k], dZ), dZ))
        if k:
            dZ = parameters[k][0] @ dZ * each(SLOPE[activation], Z[k - 1])
    return gradients


def evaluate(parameters, activation, X, labels) -> tuple[float, float]:
    """Mean loss in nats and accuracy."""
    P = np.array([row_probabilities(parameters, activation, x) for x in X])
    losses = [-np.log(p[label]) for p, label in zip(P, labels, strict=True)]
    hits = [p.argmax() == label for p, label in zip(P, labels, strict=True)]
    return float(np.mean(losses)), float(np.mean(hits))


def adamw(theta, gradients, state, t, rate, weight_decay, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """One step of torch.optim.AdamW as its documentation has it, without amsgrad."""
    for i, g in enumerate(gradients):
        m, v = state.get(i, (0.0, 0.0))
        if i % 2 == 0:
            theta[i] = theta[i] - rate * weight_decay * theta[i]
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        state[i] = m, v
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta[i] = theta[i] - rate * m_hat / (np.sqrt(v_hat) + epsilon)


def train(
    parameters, activation, batches: Iterable, learning_rate, momentum=0.0, nesterov=False, l2=0.0
):
    """The parameters after SGD, as in PyTorch's documentation, on batches (X, labels)."""
    theta = [np.array(array, np.float64) for pair in parameters for array in pair]
    velocity: list = [None] * len(theta)
    for X, labels in batches:
        pairs = list(zip(theta[::2], theta[1::2], strict=True))
        rows = [row_gradients(pairs, activation, x, y) for x, y in zip(X, labels, strict=True)]
        for i in range(len(theta)):
            g = np.mean([row[i // 2][i % 2] for row in rows], axis=0)
            if i % 2 == 0:
                g = g + l2 * theta[i]
            if momentum:
                first = velocity[i] is None
                velocity[i] = g if first else momentum * velocity[i] + g
                g = g + momentum * velocity[i] if nesterov else velocity[i]
            theta[i] = theta[i] - learning_rate * g
    return list(zip(theta[::2], theta[1::2], strict=True))
