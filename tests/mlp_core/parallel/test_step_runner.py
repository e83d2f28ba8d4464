"""A run on two cores ends with the bits of one core, whenever one is idle and wherever it stops."""

import errno
import os
import platform
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_core import Augmentation, Diverged, Recipe, Training, lay_out
from mlp_core.parallel import step_runner
from mlp_core.parallel.step_runner import can_split
from tests.support.training_runs import epochs_of
from tests.support.two_core_runs import (
    RECIPE,
    RECIPES,
    SLICES,
    TwoCoreRun,
    outcome,
    sparse_digits,
    undisturbed,
)


def always() -> bool:
    return True


def never() -> bool:
    return False


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_of_two_processes_resumed_from_any_slice_ends_with_the_bits_of_one_process(
    recipe: Recipe,
) -> None:
    training, epochs, stops = TwoCoreRun(recipe), [], 0
    for progress in training:
        assert training.second
        epochs += [progress.epoch] if progress.epoch else []
        resumed = TwoCoreRun(recipe, training.make_checkpoint(), [always, never][stops % 2])
        assert outcome(resumed, epochs=epochs) == undisturbed(recipe)
        stops += 1
    assert stops == SLICES


@pytest.mark.parametrize("seed", range(4))
def test_the_second_process_works_whenever_a_core_is_idle(seed: int) -> None:
    recipe, chance = replace(RECIPE, epochs=8), random.Random(seed)
    training = TwoCoreRun(recipe, is_idle=lambda: chance.random() < 0.5)
    assert outcome(training) == undisturbed(recipe)
    assert training.second


def cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", fork)


def has_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)


def is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")


def adds_up_parts_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_runner, "split_keeps_bits", lambda *_: False)


@pytest.mark.parametrize(
    "obstacle", [cannot_fork, has_more_threads, is_another_machine, adds_up_parts_in_another_order]
)
def test_where_no_second_process_is_possible_one_trains_alone(
    obstacle: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    obstacle(monkeypatch)
    training = TwoCoreRun()
    assert outcome(training) == undisturbed()
    assert training.steps.second_process_id is None


def test_two_processes_diverge_at_the_same_step_as_one() -> None:
    recipe = replace(RECIPE, learning_rate=1e30)
    split = TwoCoreRun(recipe)
    places = []
    for training in (Training(recipe, sparse_digits()), split):
        with np.errstate(all="ignore"), pytest.raises(Diverged) as end:
            epochs_of(training)
        places.append((end.value.epoch, end.value.step))
    assert split.second
    assert places[0] == places[1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"batch_size": 5000}, True),  # of 600 rows
        ({"hidden": ()}, False),
        ({"hidden": (64, 32)}, False),
        ({"hidden": (30,)}, False),
        ({"batch_size": 64}, False),
        ({"hidden": (20_000,)}, False),
        ({"augmentation": Augmentation(rotation=9)}, False),
    ],
)
def test_networks_with_one_wide_hidden_layer_can_be_split(
    change: dict[str, Any], expected: bool
) -> None:
    assert can_split(replace(RECIPE, **change), lay_out(sparse_digits())) == expected


ON_ANOTHER_PROCESSOR = """
from mlp_core import Training
from tests.support.two_core_runs import TwoCoreRun, outcome, undisturbed

training = TwoCoreRun()
print(outcome(training) == undisturbed(), training.steps.second_process_id)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernel is of another processor")
def test_on_a_processor_where_split_bits_differ_one_trains_alone() -> None:
    environment = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_PROCESSOR],
        env=os.environ | environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True None\n"
