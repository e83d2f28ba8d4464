"""Two processes take the steps of one: the bits of a run do not tell, whatever happens to them.

On processors whose BLAS sums up parts otherwise, where nobody would pair, these tests do so all the
same, but compare roughly.
"""

import contextlib
import errno
import functools
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mlp_core import Augmentation, Dataset, Diverged, Recipe, Split, Training, arrange
from mlp_core.parallel import second_process as pair_module
from mlp_core.parallel import split_steps
from mlp_core.parallel import step_runner as crew_module
from mlp_core.parallel.second_process import Second
from mlp_core.parallel.split_steps import NoPartner, Seat, cut_of, keeps_bits
from mlp_core.parallel.step_runner import suits

RECIPE = Recipe((64,), "relu", "he_normal", 0.01, epochs=3, batch_size=128, learning_rate=0.1)
RECIPES = {
    "sgd": RECIPE,
    "momentum and l2": replace(RECIPE, activation="sigmoid", momentum=0.9, l2=0.01),
    "nesterov": replace(RECIPE, hidden=(100,), momentum=0.9, nesterov=True),
    "adamw": replace(
        RECIPE, activation="tanh", optimizer="adamw", weight_decay=0.1, schedule="cosine"
    ),
}
YIELDS = 3 * (5 + 2 + 1)  # batches, the last a short one; two of three blocks; the record


def made_up() -> Dataset:
    """3 classes of 400 pixels, 50 of them rarely above 0."""
    rng = np.random.default_rng(7)

    def split(rows: int) -> Split:
        labels = rng.integers(0, 3, rows, dtype=np.uint8)
        images = rng.integers(0, 160, (rows, 400), dtype=np.uint8)
        images[np.arange(rows), labels] += 95
        images[:, 350:] *= rng.random((rows, 50)) < 0.004
        return Split(images, labels)

    return Dataset("made up", split(600), split(1470), 3, (20, 20))


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    return made_up()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # those of pytest are no danger
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with threadpool_limits(1):
        if not exact():
            monkeypatch.setattr(crew_module, "keeps_bits", lambda *_: True)
        yield


@functools.cache
def exact():
    return all(keeps_bits(128, n_in, 64, 3) for n_in in (350, 400))


class Outcome:
    """All that a run leaves, but times."""

    def __init__(self, arrays, epochs):
        self.arrays = arrays
        self.epochs = [(epoch.number, epoch.train_loss, epoch.test_loss) for epoch in epochs]

    def __eq__(self, other):
        assert self.arrays.keys() == other.arrays.keys()
        pairs = [(self.epochs, other.epochs)]
        pairs += [(array, other.arrays[name]) for name, array in self.arrays.items()]
        return all(
            np.array_equal(*pair) if exact() else np.allclose(*pair, rtol=1e-3, atol=1e-4)
            for pair in pairs
        )


def outcome(training, epochs=()):
    """The final bits and the losses of all epochs."""
    epochs = [*epochs, *(epoch for epoch in training if epoch)]
    return Outcome(training.checkpoint().arrays, epochs)


def paired(recipe, dataset, checkpoint=None, idle=lambda: True):
    return Training(recipe, dataset, checkpoint, core_is_idle=idle)


def partner(training):
    """The second process, if there is one."""
    pair = training._crew._pair
    return pair._child if pair else None


def stat(pid):
    """The state of a process, and how long it has computed, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    assert ends(pid)


def ends(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if stat(pid)[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_run_of_two_resumed_from_any_yield_ends_with_the_bits_of_one(recipe, pictures):
    undisturbed = outcome(Training(recipe, pictures))
    training, epochs, stops = paired(recipe, pictures), [], 0
    for event in training:
        assert partner(training)
        epochs += [event] if event else []
        idle = stops % 2 == 0
        resumed = paired(recipe, pictures, training.checkpoint(), lambda idle=idle: idle)
        assert outcome(resumed, epochs) == undisturbed
        stops += 1
    assert stops == YIELDS


@pytest.mark.parametrize("seed", range(4))
def test_a_partner_comes_and_goes_with_the_idle_core(pictures, seed):
    recipe, chance = replace(RECIPE, epochs=8), random.Random(seed)
    training = paired(recipe, pictures, idle=lambda: chance.random() < 0.5)
    assert outcome(training) == outcome(Training(recipe, pictures))
    assert partner(training)


def test_a_partner_killed_between_two_steps_costs_only_time(pictures):
    undisturbed = outcome(Training(RECIPE, pictures))
    for when in range(1, YIELDS - 1):
        training = paired(RECIPE, pictures)
        events = iter(training)
        epochs = [event for _, event in zip(range(when), events, strict=False) if event]
        kill(partner(training))
        assert outcome(events_of(events, training), epochs) == undisturbed


class events_of:  # noqa: N801 - stands for a training whose iteration has begun
    def __init__(self, events, training):
        self._events = events
        self.checkpoint = training.checkpoint

    def __iter__(self):
        return self._events


@pytest.mark.parametrize("order", range(1, 20))
def test_a_partner_that_dies_at_any_order_costs_only_time(order, pictures, monkeypatch, capfd):
    orders = [0]
    obey = Second._obey

    def obey_or_die(*those):
        orders[0] += 1  # in the second process only
        if orders[0] == order:
            raise MemoryError("no room")
        obey(*those)

    undisturbed = outcome(Training(RECIPE, pictures))
    monkeypatch.setattr(Second, "_obey", obey_or_die)
    training = paired(RECIPE, pictures)
    assert outcome(training) == undisturbed
    training.checkpoint()
    assert "MemoryError: no room" in capfd.readouterr().err


def test_a_checkpoint_after_the_loss_is_that_of_the_last_whole_network(pictures):
    training = paired(RECIPE, pictures)
    events = iter(training)
    next(events)
    training.checkpoint()
    next(events)
    next(events)
    kill(partner(training))
    checkpoint = training.checkpoint()
    assert checkpoint.cursor.batches_done == 1
    assert outcome(Training(RECIPE, pictures, checkpoint)) == outcome(Training(RECIPE, pictures))


def test_a_partner_that_is_stopped_is_not_waited_for(pictures, monkeypatch):
    training = paired(RECIPE, pictures)
    events = iter(training)
    next(events)
    pid = partner(training)
    monkeypatch.setattr(pair_module, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(training._crew._pair._seat, "_patience", 0.05)
    os.kill(pid, signal.SIGSTOP)
    assert outcome(events_of(events, training)) == outcome(Training(RECIPE, pictures))
    assert ends(pid)


def test_a_partner_that_died_asleep_is_not_missed_for_an_evaluation(pictures):
    idle = iter([True, False])
    training = paired(RECIPE, pictures, idle=lambda: next(idle, True))
    events = iter(training)
    epochs = [next(event for event in events if event)]
    for _ in range(4):
        next(events)
    kill(partner(training))
    assert outcome(training, epochs) == outcome(Training(RECIPE, pictures))


def cannot_fork(monkeypatch):
    def fork():
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", fork)


def has_more_threads(monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 2)


def is_another_machine(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")


def sums_up_parts_otherwise(monkeypatch):
    monkeypatch.setattr(crew_module, "keeps_bits", lambda *_: False)


@pytest.mark.parametrize(
    "hindrance", [cannot_fork, has_more_threads, is_another_machine, sums_up_parts_otherwise]
)
def test_where_there_can_be_no_partner_one_goes_on_alone(hindrance, pictures, monkeypatch):
    undisturbed = outcome(Training(RECIPE, pictures))
    hindrance(monkeypatch)
    training = paired(RECIPE, pictures)
    assert outcome(training) == undisturbed
    assert partner(training) is None


def test_two_diverge_where_one_does(pictures):
    recipe = replace(RECIPE, learning_rate=1e30)
    places = []
    for training in (Training(recipe, pictures), paired(recipe, pictures)):
        with np.errstate(all="ignore"), pytest.raises(Diverged) as end:
            outcome(training)
        places.append((end.value.epoch, end.value.step))
    assert partner(training)
    assert places[0] == places[1]


def test_the_partner_ends_with_the_training(pictures):
    training = paired(RECIPE, pictures)
    next(iter(training))
    pid = partner(training)
    del training
    assert ends(pid)
    with pytest.raises(ChildProcessError):  # and leaves no zombie
        os.waitpid(pid, 0)


def test_the_partner_sleeps_between_two_epochs(pictures):
    training = paired(RECIPE, pictures)
    next(event for event in training if event)
    pid = partner(training)
    deadline = time.monotonic() + 20
    while stat(pid)[0] != "S" and time.monotonic() < deadline:
        time.sleep(0.001)
    before = stat(pid)[1]
    time.sleep(0.2)
    assert stat(pid) == ("S", before)


ALONE = """
import sys, time
from mlp_core import (Training)
from mlp_core.parallel import (step_runner)
from tests.mlp_core.parallel.test_second_process import (RECIPE, made_up, partner)

step_runner.keeps_bits = lambda *_: True
kept = open(sys.argv[1], "w")
training = Training(RECIPE, made_up(), core_is_idle=lambda: True)
events = iter(training)
next(events)
print(partner(training), flush=True)
sys.stdin.readline()
next(events)
print("and on", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def a_first_process(path):
    """Yield a process that waits after its first step, and the pid of its partner."""
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(path)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_the_partner_of_a_killed_process_ends(pictures, tmp_path):
    with a_first_process(tmp_path / "kept") as (process, pid):
        process.kill()
        assert ends(pid)


def test_the_partner_leaves_when_the_first_does_and_no_sooner(pictures, tmp_path):
    """A worker's group is asked to leave by SIGTERM; the worker saves first, with its partner."""
    with a_first_process(tmp_path / "kept") as (process, pid):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "and on\n"


def test_the_partner_holds_no_files_of_the_first(pictures, tmp_path):
    """Or it would keep the locks of a worker that was killed."""
    with a_first_process(tmp_path / "kept") as (process, pid):
        kept = [path.readlink() for path in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert tmp_path / "kept" in kept
        files = {int(path.name): path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert [str(file)[:7] for number, file in files.items() if number > 2] == ["socket:"]


def test_who_waits_for_somebody_who_is_gone_is_told():
    ours, theirs = socket.socketpair()
    theirs.close()
    seat = Seat(1, split_steps.Shared({"layers.1.bias": np.zeros(64, np.float32)}, 1, 1), ours)
    with ours, pytest.raises(NoPartner):
        seat.wait(0, 1)


@pytest.mark.parametrize(
    ("change", "suit"),
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
def test_two_take_the_steps_of_wide_single_layers(change, suit):
    dataset = made_up()
    assert suits(replace(RECIPE, **change), arrange(dataset)) == suit


@pytest.mark.parametrize(("n_out", "cut"), [(31, 0), (64, 32), (100, 48), (128, 64), (300, 144)])
def test_units_are_cut_near_the_middle_at_a_whole_register(n_out, cut):
    assert cut_of(n_out) == cut


OTHERWISE = """
from mlp_core import Training
from tests.mlp_core.parallel.test_second_process import (RECIPE, made_up, outcome, partner)

training = Training(RECIPE, made_up(), core_is_idle=lambda: True)
same = outcome(training) == outcome(Training(RECIPE, made_up()))
print(same, partner(training))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernel is of another processor")
def test_on_a_processor_that_sums_up_parts_otherwise_one_goes_on_alone():
    environment = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", OTHERWISE],
        env=os.environ | environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "True None\n"
