"""Everything is computed in float32: an upcast would double the time and change the bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import ACTIVATIONS, Augmentation, Dataset, Network, Recipe, Training
from mlp_core.arrays import aligned_empty
from mlp_core.augmentation import Deformer, RandomDeformation
from mlp_core.fast.buffers import Workspace
from mlp_core.loss import cross_entropy
from mlp_core.network import Parameters, backward, forward
from mlp_core.optimizers import SGD, AdamW
from tests.support.training_runs import epochs_of

RECIPE = Recipe((5, 4), "tanh", "he_normal", 0.01, epochs=1, batch_size=128, learning_rate=0.3)


class Float32Only(np.ndarray[Any, np.dtype[Any]]):
    """An array that refuses any arithmetic outside float32."""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        for value in (*plain, result):
            if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
                assert value.dtype == np.float32, f"{ufunc.__name__} met {value.dtype}"
        return out[0] if out is not None else np.asarray(result).view(Float32Only)


def strict(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(Float32Only)


def all_strict(arrays: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    return tuple(map(strict, arrays))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_never_leaves_float32(activation: str, rng: np.random.Generator) -> None:
    network = Network.random((6, 5, 3), activation, "he_normal", 0.01, rng)
    network = Network(all_strict(network.weights), all_strict(network.biases), activation)
    zeros = network.zeros()
    gradients = Parameters(all_strict(zeros.weights), all_strict(zeros.biases))
    work = Workspace.allocate(network.sizes, 8)
    X, labels = strict(rng.random((8, 6), dtype=np.float32)), rng.integers(0, 3, 8)
    outputs, d_outputs = all_strict(work.outputs), all_strict(work.d_outputs)
    forward(network, X, outputs)
    cross_entropy(outputs[-1], labels, strict(work.losses), d_outputs[-1])
    backward(network, X, outputs, d_outputs, gradients)
    SGD(network, momentum=0.9, nesterov=True, l2=0.1).step(network, gradients, 0.1, 1)
    AdamW(network, 0.1, 0.9, 0.999).step(network, gradients, 0.1, 1)
    with pytest.raises(AssertionError, match="multiply met float64"):
        np.multiply(X, np.float64(2))


def test_deforming_images_never_leaves_float32(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, order = Augmentation(9, 0.1, 0.1, 2, 1), np.arange(6)
    place = "mlp_core.augmentation.aligned_empty"
    monkeypatch.setattr(place, lambda *shape: strict(aligned_empty(*shape)))
    deformer = Deformer(given, (2, 3), order, 8)
    X = deformer.fill_inputs(rng.integers(0, 256, (8, 6), dtype=np.uint8), rng)
    assert isinstance(X, Float32Only)
    assert RandomDeformation(given, (2, 3), order).draw_points(4, rng).dtype == np.float32


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "nesterov": True, "l2": 0.1}, {"hidden": (64,)}]
)
def test_all_arrays_of_a_run_are_float32(dataset: Dataset, options: dict[str, Any]) -> None:
    training = Training(replace(RECIPE, **options), dataset)
    epochs_of(training)
    arrays = training.make_checkpoint().arrays.values()
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
