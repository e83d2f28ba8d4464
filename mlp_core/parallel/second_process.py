"""Two processes that train one network: the first gives commands, the second follows them.

They are processes because two threads would wait for each other at the interpreter lock. Neither
the bits of a run nor its checkpoints show whether one process or two took a step. If the second
process is lost, so are the steps since the whole network was last complete, and they can be taken
again without it.
"""

import gc
import os
import signal
import socket
import time
import traceback
from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from itertools import islice
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Indices
from mlp_core.dataset import Dataset
from mlp_core.fast.block_evaluation import Evaluator
from mlp_core.fast.data_layout import DataLayout
from mlp_core.network import Network
from mlp_core.parallel import shared_memory
from mlp_core.parallel.shared_memory import NAP_SECONDS, PeerLost, SharedState, Side
from mlp_core.parallel.split_steps import HalfGradientDescent, split_units
from mlp_core.recipe import Recipe

ISSUED, COMPLETED = 0, 8  # where the counters of commands are
COMMANDS = 32  # where the last two commands are, each with a step's number and its number of rows


class Command(IntEnum):
    """The commands of the first process to the second."""

    LOAD = 0  # copy its half of the arrays in shared memory
    TRAIN_BATCH = 1  # compute its half of a step
    SAVE = 2  # copy its half to the arrays in shared memory
    EVALUATE = 3  # fill every second row of the block totals, then sleep


class ProcessPair:
    """The pair as the first process sees it: its own half, and the second process with the other.

    `load`, `train_batch`, `gather` and `start_evaluation` raise PeerLost if the second process is
    lost.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        layout: DataLayout,
        whole: Mapping[str, NDArray[Any]],
    ) -> None:
        """Start the second process, which sleeps until it is needed.

        Args:
            recipe: what to train, with one hidden layer.
            dataset: what to train on.
            layout: the layout of the data set.
            whole: the arrays of the whole network and of its optimizer.

        Raises:
            OSError: the process can't be started.
            MemoryError: there is too little memory.

        """
        self.process_id = 0
        rows = min(recipe.batch_size, len(dataset.train))
        state = SharedState(whole, rows, layout.block_count)
        own_units, other_units = split_units(*recipe.hidden)
        own_end, other_end = socket.socketpair()
        self.block_totals = state.block_totals
        self._state = state
        self._side = Side(0, own_units, state, own_end)
        self._descent = HalfGradientDescent(recipe, dataset, layout, self._side)
        self._issued = 0
        self._second_sleeps = True
        with other_end:
            try:
                self.process_id = os.fork()
            except OSError:
                own_end.close()
                raise
            if self.process_id == 0:
                other_side = Side(1, other_units, state, other_end)  # pragma: no cover
                _run_second(recipe, dataset, layout, other_side)  # pragma: no cover

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the second process, which exits as soon as it sees that the socket is closed."""
        if self.process_id:
            process_id, self.process_id = self.process_id, 0
            self._side.peer.close()
            deadline = time.monotonic() + shared_memory.PATIENCE_SECONDS
            while os.waitpid(process_id, os.WNOHANG) == (0, 0):
                if time.monotonic() >= deadline:  # it may be stopped by a signal
                    os.kill(process_id, signal.SIGKILL)
                time.sleep(NAP_SECONDS)

    def load(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Continue from these arrays."""
        self._share(whole)
        self._issue(Command.LOAD)
        self._side.load(self._descent.arrays())

    def train_batch(self, rows: Indices, learning_rate: float, number: int) -> float:
        """Take a step; each process computes half of it (see `GradientDescent.train_batch`)."""
        slot = (self._issued + 1) % 2
        self._side.wait(COMPLETED, self._issued - 1)  # the slot may still be read before that
        self._state.rows[slot, : len(rows)] = rows
        self._state.learning_rates[slot] = learning_rate
        self._issue(Command.TRAIN_BATCH, number, len(rows))
        return self._descent.train_batch(rows, learning_rate, number)

    def gather(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Copy both halves to these arrays, which are unchanged if the second process is lost."""
        self._issue(Command.SAVE)
        self._side.save(self._descent.arrays())
        self._await_completion()
        for name, array in whole.items():
            np.copyto(array, self._state.whole[name])

    def start_evaluation(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Let the second process fill every second row of `block_totals`."""
        self._share(whole)
        self._issue(Command.EVALUATE)
        self._second_sleeps = True

    def finish_evaluation(self) -> bool:
        """Wait until the second process has filled its rows; return whether it has."""
        try:
            self._await_completion()
        except PeerLost:
            return False
        return True

    def _share(self, whole: Mapping[str, NDArray[Any]]) -> None:
        self._await_completion()
        for name, array in whole.items():
            np.copyto(self._state.whole[name], array)

    def _issue(self, command: Command, number: int = 0, rows: int = 0) -> None:
        """Give the next command; the second process may still be busy with the one before it."""
        if self._second_sleeps:
            self._wake_second()
        self._side.wait(COMPLETED, self._issued - 1)
        self._issued += 1
        counters, place = self._state.counters, _command_place(self._issued)
        counters[place], counters[place + 1], counters[place + 2] = command, number, rows
        counters[ISSUED] = self._issued

    def _wake_second(self) -> None:
        try:
            self._side.peer.send(b"!")
        except OSError as exc:
            raise PeerLost(str(exc)) from exc
        self._second_sleeps = False

    def _await_completion(self) -> None:
        self._side.wait(COMPLETED, self._issued)


def _command_place(number: int) -> int:
    return COMMANDS + 8 * (number % 2)


def _run_second(recipe: Recipe, dataset: Dataset, layout: DataLayout, side: Side) -> NoReturn:
    """Run the second process until the first one has ended."""
    try:
        _detach(side.peer.fileno())
        SecondProcess(recipe, dataset, layout, side).run()
    except PeerLost:
        pass
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _detach(own_descriptor: int) -> None:
    """Give up everything of the first process except the shared memory and an end of the socket.

    Its files are closed here, so that it alone holds locks on them, and no destructor can run that
    would use its database connection. Signals are ignored: this process ends when the first does.
    """
    gc.freeze()
    os.closerange(3, own_descriptor)
    os.closerange(own_descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class SecondProcess:
    """Holds half of the network and executes the commands of the first process."""

    def __init__(self, recipe: Recipe, dataset: Dataset, layout: DataLayout, side: Side) -> None:
        self._layout = layout
        self._side = side
        self._state = side.state
        self._activation = recipe.activation
        self._descent = HalfGradientDescent(recipe, dataset, layout, side)
        self._evaluator = Evaluator((dataset.n_in, *recipe.hidden, dataset.classes))

    def run(self) -> None:
        """Execute commands, and sleep after each EVALUATE; return when the first process ends."""
        counters = self._state.counters
        completed = 0
        while self._side.peer.recv(1):
            command = None
            while command != Command.EVALUATE:
                number = completed + 1
                self._side.wait(ISSUED, number)
                command, *step = counters[_command_place(number) :][:3].tolist()
                self.execute(command, number % 2, *step)
                completed = counters[COMPLETED] = number

    def execute(self, command: int, slot: int, number: int, rows: int) -> None:
        """Execute a command; `number` and `rows` are those of a step, its data is in a slot."""
        if command == Command.LOAD:
            self._side.load(self._descent.arrays())
        elif command == Command.TRAIN_BATCH:
            learning_rate = float(self._state.learning_rates[slot])
            self._descent.train_batch(self._state.rows[slot, :rows], learning_rate, number)
        elif command == Command.SAVE:
            self._side.save(self._descent.arrays())
        else:
            network = Network.from_arrays(self._state.whole, self._activation)
            blocks = islice(self._layout.blocks(), 1, None, 2)
            deque(self._evaluator.fill(self._state.block_totals[1::2], network, blocks), 0)
