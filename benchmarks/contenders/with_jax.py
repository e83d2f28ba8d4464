"""JAX at its fastest: a whole epoch compiled into one program, with batches by `lax.scan`."""

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders.race import Accuracies, Epoch, Task, scaled_images, take_part

ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}


def random_parameters(sizes: tuple[int, ...]) -> list:
    rng = np.random.default_rng(1)
    return [
        (
            jnp.asarray(rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), jnp.float32),
            jnp.full(n_out, 0.01, jnp.float32),
        )
        for n_in, n_out in pairwise(sizes)
    ]


def logits_of(parameters, X, activation):
    *hidden, (W, b) = parameters
    for W_hidden, b_hidden in hidden:
        X = ACTIVATIONS[activation](X @ W_hidden + b_hidden)
    return X @ W + b


def losses_of(logits, labels):
    log_P = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_P, labels[:, None], axis=1)[:, 0]


def trainer(task: Task, X, labels) -> Callable:
    whole = len(X) // task.batch_size * task.batch_size

    def mean_loss(parameters, rows):
        return losses_of(logits_of(parameters, X[rows], task.activation), labels[rows]).mean()

    def step(carry, rows):
        parameters, velocities = carry
        gradient = jax.grad(mean_loss)(parameters, rows)
        if task.momentum:
            velocities = jax.tree.map(lambda v, d: task.momentum * v + d, velocities, gradient)
            gradient = velocities
        parameters = jax.tree.map(lambda p, d: p - task.learning_rate * d, parameters, gradient)
        return (parameters, velocities), None

    @jax.jit
    def train(carry, key):
        order = jax.random.permutation(key, len(X))
        carry, _ = jax.lax.scan(step, carry, order[:whole].reshape(-1, task.batch_size))
        if whole < len(X):
            carry, _ = step(carry, order[whole:])
        return carry

    return train


def prepare(task: Task) -> Epoch:
    sets = [tuple(map(jnp.asarray, scaled_images(name))) for name in ("train", "t10k")]
    parameters = random_parameters(task.sizes)
    carry = parameters, jax.tree.map(jnp.zeros_like, parameters)
    keys = jax.random.key(1)
    train = trainer(task, *sets[0])

    @jax.jit
    def evaluate(parameters, X, labels):
        logits = logits_of(parameters, X, task.activation)
        return (logits.argmax(1) == labels).mean(), losses_of(logits, labels).mean()

    def epoch() -> Accuracies:
        nonlocal carry, keys
        keys, key = jax.random.split(keys)
        carry = train(carry, key)
        (train_accuracy, _), (test_accuracy, _) = jax.block_until_ready(
            [evaluate(carry[0], *each) for each in sets]
        )
        return float(train_accuracy), float(test_accuracy)

    return epoch


if __name__ == "__main__":
    take_part(prepare)
