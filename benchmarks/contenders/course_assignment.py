"""The solution of the course assignment (course_solution.py) as a contender."""

import numpy as np

from benchmarks.contenders import course_solution
from benchmarks.contenders.race import Accuracies, Epoch, Task, images, take_part

ACTIVATIONS = {"relu": "ReLU", "sigmoid": "Sigmoid"}


def prepare(task: Task) -> Epoch:
    sets = [(X / 255, np.eye(10)[labels]) for X, labels in map(images, ("train", "t10k"))]
    rng = np.random.default_rng(1)
    parameters = course_solution.initialize(task.sizes, rng)
    activation = ACTIVATIONS[task.activation]

    def epoch() -> Accuracies:
        course_solution.train_epoch(
            *sets[0], *parameters, activation, task.learning_rate, task.batch_size, rng
        )
        (_, train), (_, test) = (
            course_solution.evaluate(X.T, Y.T, *parameters, activation) for X, Y in sets
        )
        return float(train), float(test)

    return epoch


if __name__ == "__main__":
    take_part(prepare)
