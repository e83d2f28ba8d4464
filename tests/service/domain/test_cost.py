import time
import tracemalloc
from dataclasses import replace

import pytest
from pydantic import ValidationError

from mlp_client.job_spec import Spec
from mlp_core import Recipe
from service.domain.cost import Limits, check, cost_of
from service.domain.dataset_shape import Shape
from service.domain.errors import Flaw, SpecRefused
from service.domain.job_recipe import recipe_of

MNIST = Shape(inputs=784, classes=10, train_rows=60_000, test_rows=10_000)
LIMITS = Limits(
    layers=16,
    width=8192,
    parameters=20_000_000,
    epochs=10_000,
    batch_size=8192,
    job_bytes=2 * 1024**3,
    job_flops=1e16,
)


def recipe(**fields: object) -> Recipe:
    """Return the recipe of a spec with these fields."""
    return recipe_of(Spec.model_validate(fields).model_dump())


def flaws(asked: Recipe, limits: Limits = LIMITS) -> tuple[Flaw, ...]:
    with pytest.raises(SpecRefused) as refused:
        check(asked, MNIST, limits)
    return refused.value.flaws


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [
        ([], 784 * 10 + 10),
        ([128], 784 * 128 + 128 + 128 * 10 + 10),
        ([3, 5], 784 * 3 + 3 + 3 * 5 + 5 + 5 * 10 + 10),
    ],
)
def test_the_parameters_are_counted_by_hand(hidden: list[int], parameters: int) -> None:
    assert cost_of(recipe(hidden=hidden), MNIST).parameters == parameters


def test_the_parameters_of_the_presets_are_those_of_the_textbooks() -> None:
    assert cost_of(recipe(preset="linear"), MNIST).parameters == 7_850
    assert cost_of(recipe(preset="mlp-relu"), MNIST).parameters == 101_770


def test_memory_holds_parameters_gradients_and_a_batch() -> None:
    plain = cost_of(recipe(preset="linear", batch_size=100), MNIST).bytes
    rows = 100 + 1_000  # of a batch, and of a block of the evaluation
    assert plain == 4 * (7 * 7_850 + 3 * 7_840 + rows * (784 + 2 * 10))
    momentum = cost_of(
        recipe(preset="linear", batch_size=100, optimizer={"momentum": 0.9}), MNIST
    ).bytes
    assert momentum == plain + 4 * 3 * 7_850, "the velocity, and twice in a checkpoint"
    adamw = cost_of(recipe(preset="linear", batch_size=100, optimizer="adamw"), MNIST).bytes
    assert adamw == plain + 4 * 6 * 7_850, "sums of gradients and of their squares"
    deformed = cost_of(recipe(preset="linear", batch_size=100, augmentation={}), MNIST).bytes
    assert deformed == plain + 4 * 100 * 784, "images to deform"


def test_operations_are_those_of_training_and_evaluation() -> None:
    cost = cost_of(recipe(preset="mlp-relu", epochs=3), MNIST)
    weights = 784 * 128 + 128 * 10
    forward, gradients, layer_below = 2 * weights, 2 * weights, 2 * 128 * 10
    train = (forward + gradients + layer_below) * 60_000
    evaluate = forward * 70_000
    assert cost.flops == 3 * (train + evaluate)


def test_time_grows_with_epochs_layers_and_steps() -> None:
    base = cost_of(recipe(epochs=10), MNIST).seconds
    assert cost_of(recipe(epochs=20), MNIST).seconds == pytest.approx(2 * base, rel=0.05)
    assert cost_of(recipe(epochs=10, hidden=[128, 128]), MNIST).seconds > base
    assert cost_of(recipe(epochs=10, batch_size=16), MNIST).seconds > base
    assert cost_of(recipe(epochs=10, optimizer="adamw"), MNIST).seconds > base
    assert cost_of(recipe(epochs=10, augmentation={}), MNIST).seconds > base


def test_two_presets_take_about_as_long_as_was_measured() -> None:
    """50 epochs of them took 6.2 s and 20.5 s on one core."""
    assert 6.2 / 3 < cost_of(recipe(preset="linear"), MNIST).seconds < 6.2 * 3
    assert 20.5 / 3 < cost_of(recipe(preset="mlp-relu"), MNIST).seconds < 20.5 * 3


def test_a_spec_within_the_limits_gets_its_cost() -> None:
    for preset in ("linear", "mlp-relu", "mlp-sigmoid"):
        asked = recipe(preset=preset)
        assert check(asked, MNIST, LIMITS) == cost_of(asked, MNIST)


@pytest.mark.parametrize(
    ("fields", "pointer", "detail", "hint"),
    [
        ({"hidden": [1] * 17}, "#/hidden", "17 hidden layers", "use at most 16"),
        ({"hidden": [9, 8193]}, "#/hidden/1", "8,193 units", "use at most 8,192"),
        ({"epochs": 10_001}, "#/epochs", "10,001 epochs", "use at most 10,000"),
        ({"batch_size": 8193}, "#/batch_size", "a batch of 8,193", "use at most 8,192"),
        ({"hidden": [8192, 2048]}, "#/hidden", "parameters", "use at most 20,000,000"),
        (
            {"hidden": [4096] * 2, "epochs": 2000},
            "#/epochs",
            "operations",
            "use at most 1,038 epochs",
        ),
        ({"hidden": [4096] * 2, "batch_size": 8192}, "#/batch_size", "one step", "smaller"),
    ],
)
def test_every_limit_names_the_field_and_the_way_out(
    fields: dict[str, object], pointer: str, detail: str, hint: str
) -> None:
    [flaw] = [flaw for flaw in flaws(recipe(**fields)) if flaw.pointer == pointer]
    assert detail in flaw.detail
    assert flaw.hint is not None
    assert hint in flaw.hint


def test_a_job_that_needs_too_much_memory_is_refused() -> None:
    [flaw] = flaws(recipe(), replace(LIMITS, job_bytes=1_000_000))
    assert flaw.pointer == "#/hidden"
    assert "bytes of memory is over the limit of 1,000,000" in flaw.detail


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("layers", {"hidden": [2, 2]}),
        ("width", {"hidden": [2]}),
        ("epochs", {"epochs": 2}),
        ("batch_size", {"batch_size": 2}),
    ],
)
def test_a_limit_allows_exactly_what_it_says(name: str, fields: dict[str, object]) -> None:
    exact = replace(LIMITS, **{name: 2})
    check(recipe(**{"hidden": [2]} | fields), MNIST, exact)
    assert len(flaws(recipe(**{"hidden": [2]} | fields), replace(exact, **{name: 1}))) == 1


def test_the_limit_on_parameters_is_exact() -> None:
    check(recipe(preset="linear"), MNIST, replace(LIMITS, parameters=7_850))
    assert flaws(recipe(preset="linear"), replace(LIMITS, parameters=7_849))


def test_all_flaws_are_named_together() -> None:
    found = flaws(recipe(hidden=[9000, 10, 9000], epochs=99_999, batch_size=99_999))
    assert [flaw.pointer for flaw in found] == [
        "#/hidden/0",
        "#/hidden/2",
        "#/epochs",
        "#/batch_size",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden": [10**9]},
        {"hidden": [10**9] * 4096},
        {"hidden": [1] * 4096},
        {"epochs": 10**9},
        {"batch_size": 10**9},
    ],
    ids=["wide", "wide and deep", "deep", "long", "batch"],
)
def test_an_enormous_spec_is_refused_immediately_and_without_memory(
    fields: dict[str, object],
) -> None:
    asked = recipe(**fields)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        flaws(asked)
        times.append(time.perf_counter() - started)
    tracemalloc.start()
    flaws(asked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert min(times) < 0.005
    assert peak < 4_000_000


@pytest.mark.parametrize(
    "fields",
    [{"hidden": [1] * 4097}, {"hidden": [2**31 + 1]}, {"epochs": 2**40}, {"batch_size": 2**40}],
)
def test_what_no_machine_could_do_is_not_even_a_recipe(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        recipe(**fields)


def test_layers_beyond_the_limit_are_not_named_one_by_one() -> None:
    found = flaws(recipe(hidden=[10**9] * 4096))
    assert [flaw.pointer for flaw in found] == ["#/hidden", *(f"#/hidden/{n}" for n in range(16))]


def test_a_step_that_would_delay_a_heartbeat_too_long_is_refused() -> None:
    """A step takes 6 operations per parameter and row; at 100 GFLOP/s it may take 2 s."""
    hidden = [3000, 3000]
    parameters = 784 * 3000 + 3000 + 3000 * 3000 + 3000 + 3000 * 10 + 10
    rows = int(2 * 100e9 / (6 * parameters))
    check(recipe(hidden=hidden, batch_size=rows, epochs=1), MNIST, LIMITS)
    [flaw] = flaws(recipe(hidden=hidden, batch_size=rows + 1, epochs=1))
    assert flaw.pointer == "#/batch_size"
