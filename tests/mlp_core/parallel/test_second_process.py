"""A failure of the second process costs only time, and it ends when the first process does."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlp_core import Training
from mlp_core.parallel import shared_memory
from mlp_core.parallel.second_process import SecondProcess
from tests.support.two_core_runs import (
    RECIPE,
    SLICES,
    TwoCoreRun,
    ends,
    kill,
    outcome,
    process_state,
    sparse_digits,
    undisturbed,
)


def test_a_second_process_killed_between_two_steps_costs_only_time() -> None:
    for when in range(1, SLICES - 1):
        training = TwoCoreRun()
        slices = iter(training)
        epochs = [
            progress.epoch
            for _, progress in zip(range(when), slices, strict=False)
            if progress.epoch
        ]
        kill(training.second)
        assert outcome(training, slices, epochs) == undisturbed()


@pytest.mark.parametrize("command", range(1, 20))
def test_a_second_process_that_dies_at_any_command_costs_only_time(
    command: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    executed = [0]
    execute = SecondProcess.execute

    def execute_or_die(second: SecondProcess, *arguments: int) -> None:
        executed[0] += 1  # in the second process only
        if executed[0] == command:
            raise MemoryError("no room")
        execute(second, *arguments)

    undisturbed()
    monkeypatch.setattr(SecondProcess, "execute", execute_or_die)
    training = TwoCoreRun()
    assert outcome(training) == undisturbed()
    training.make_checkpoint()
    assert "MemoryError: no room" in capfd.readouterr().err


def test_a_checkpoint_after_a_loss_holds_the_last_complete_network() -> None:
    training = TwoCoreRun()
    slices = iter(training)
    next(slices)
    training.make_checkpoint()
    next(slices)
    next(slices)
    kill(training.second)
    checkpoint = training.make_checkpoint()
    assert checkpoint.cursor.batches_done == 1
    assert outcome(Training(RECIPE, sparse_digits(), checkpoint)) == undisturbed()


def test_a_run_does_not_wait_for_a_second_process_that_a_signal_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = TwoCoreRun()
    slices = iter(training)
    next(slices)
    pid = training.second
    monkeypatch.setattr(shared_memory, "PATIENCE_SECONDS", 0.05)
    os.kill(pid, signal.SIGSTOP)
    assert outcome(training, slices) == undisturbed()
    assert ends(pid)


def test_an_evaluation_succeeds_although_the_second_process_died_while_it_slept() -> None:
    idle = iter([True, False])
    training = TwoCoreRun(is_idle=lambda: next(idle, True))
    slices = iter(training)
    epochs = [next(progress.epoch for progress in slices if progress.epoch)]
    for _ in range(4):
        next(slices)
    kill(training.second)
    # The new iteration calls begin_epoch again, now with an idle core; the last batch is not split.
    assert outcome(training, epochs=epochs) == undisturbed()


def test_the_second_process_ends_with_the_training() -> None:
    training = TwoCoreRun()
    next(iter(training))
    pid = training.second
    del training
    assert ends(pid)
    with pytest.raises(ChildProcessError):  # it is not a zombie either
        os.waitpid(pid, 0)


def test_the_second_process_sleeps_between_two_epochs() -> None:
    training = TwoCoreRun()
    next(progress for progress in training if progress.epoch)
    pid = training.second
    deadline = time.monotonic() + 20
    while process_state(pid)[0] != "S" and time.monotonic() < deadline:
        time.sleep(0.001)
    before = process_state(pid)[1]
    time.sleep(0.2)
    assert process_state(pid) == ("S", before)


FIRST_PROCESS = """
import sys, time
from mlp_core.parallel import step_runner
from tests.support.two_core_runs import TwoCoreRun

step_runner.split_keeps_bits = lambda *_: True
kept = open(sys.argv[1], "w")
training = TwoCoreRun()
slices = iter(training)
next(slices)
print(training.second, flush=True)
sys.stdin.readline()
next(slices)
print("still training", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def first_process(path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yield a process that waits after its first step, and the pid of its second process."""
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST_PROCESS, str(path)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_the_second_process_of_a_killed_one_ends(tmp_path: Path) -> None:
    with first_process(tmp_path / "kept") as (process, pid):
        process.kill()
        assert ends(pid)


def test_the_second_process_exits_when_the_first_does_and_no_sooner(tmp_path: Path) -> None:
    """SIGTERM goes to the worker's whole process group; to save, the worker needs both halves."""
    with first_process(tmp_path / "kept") as (process, pid):
        assert process.stdout
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "still training\n"


def test_the_second_process_holds_no_files_of_the_first(tmp_path: Path) -> None:
    """Otherwise it would keep the locks of a worker that was killed."""
    with first_process(tmp_path / "kept") as (process, pid):
        kept = [path.readlink() for path in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert tmp_path / "kept" in kept
        files = {int(path.name): path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert [str(file)[:7] for number, file in files.items() if number > 2] == ["socket:"]
