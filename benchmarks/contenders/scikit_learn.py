"""scikit-learn's MLPClassifier, with one `partial_fit` per epoch."""

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.contenders.race import Accuracies, Epoch, Task, scaled_images, take_part

ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic"}


def prepare(task: Task) -> Epoch:
    warnings.simplefilter("ignore")
    sets = [scaled_images(name) for name in ("train", "t10k")]
    model = MLPClassifier(
        task.sizes[1:-1],
        activation=ACTIVATIONS[task.activation],
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=task.learning_rate,
        momentum=task.momentum,
        nesterovs_momentum=False,
        random_state=1,
    )

    def evaluate(X: np.ndarray, labels: np.ndarray) -> float:
        P = model.predict_proba(X)
        # The loss is computed, as by every contender, but not reported.
        float(-np.log(np.maximum(P[np.arange(len(labels)), labels], 1e-30)).mean())
        return float((P.argmax(axis=1) == labels).mean())

    def epoch() -> Accuracies:
        model.partial_fit(*sets[0], classes=np.arange(10))
        train, test = (evaluate(*each) for each in sets)
        return train, test

    return epoch


if __name__ == "__main__":
    take_part(prepare)
