"""Two processes that train one network: the first takes its steps, a second one half of each.

Two processes, because threads would wait for each other's turn at the interpreter. Neither the bits
of a run nor its checkpoints tell whether two took a step or one. If the second is lost, so is what
was done since the whole network was put together last, and it can be done again without.
"""

import gc
import os
import signal
import socket
import time
import traceback
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlp_core.dataset import Dataset
from mlp_core.fast.block_evaluation import Evaluator
from mlp_core.fast.data_layout import Arrangement
from mlp_core.network import Network
from mlp_core.parallel.split_steps import (
    NAP_SECONDS,
    PATIENCE_SECONDS,
    HalfSteps,
    NoPartner,
    Seat,
    Shared,
)
from mlp_core.recipe import Recipe

ORDERS, DONE = 0, 8  # places where the orders given and those obeyed are counted
ORDER = 32  # where what is ordered stands: LOAD, …, and of a step its number and how many rows
LOAD, STEP, SAVE, SCORE = range(4)


class Pair:
    """The first of the two processes, and its hold on the second; also an `evaluation.Helper`."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        data: Arrangement,
        whole: Mapping[str, NDArray[Any]],
    ) -> None:
        """Start the second process, which sleeps until it is needed.

        Args:
            recipe: what to train, with one hidden layer.
            dataset: what to train on.
            data: its arrangement.
            whole: the arrays of the network in one piece, and of its optimiser.

        Raises:
            OSError: there is no room for it; or a MemoryError.

        """
        self._child = 0
        rows = min(recipe.batch_size, len(dataset.train))
        memory = Shared(whole, rows, len(data.train.widths) + len(data.test.widths))
        ours, theirs = socket.socketpair()
        self.parts = memory.parts
        self._memory = memory
        self._seat = Seat(0, memory, ours)
        self._steps = HalfSteps(recipe, dataset, data, self._seat)
        self._orders = 0
        self._sleeps = True
        with theirs:
            try:
                self._child = os.fork()
            except OSError:
                ours.close()
                raise
            if self._child == 0:
                _serve(recipe, dataset, data, Seat(1, memory, theirs))  # pragma: no cover

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let the second process end, which it does as soon as it has seen this."""
        if self._child:
            child, self._child = self._child, 0
            self._seat.partner.close()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                if time.monotonic() >= deadline:  # it is stopped
                    os.kill(child, signal.SIGKILL)
                time.sleep(NAP_SECONDS)

    def load(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Go on from these arrays.

        Raises:
            NoPartner: the second process is gone; so say `take`, `gather` and `score`.

        """
        self._write(whole)
        self._order(LOAD)
        self._seat.load(self._steps.arrays())

    def take(self, rows: NDArray[np.int64], rate: float, number: int) -> float:
        """Take a step with half of each product here, like `Steps.take`."""
        slot = (self._orders + 1) % 2  # the one before may still be read
        self._seat.wait(DONE, self._orders - 1)
        self._memory.rows[slot, : len(rows)] = rows
        self._memory.rates[slot] = rate
        self._order(STEP, number, len(rows))
        return self._steps.take(rows, rate, number)

    def gather(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Copy both halves to these arrays, which stay as they are if the partner is lost."""
        self._order(SAVE)
        self._seat.save(self._steps.arrays())
        self._await_done()
        for name, array in whole.items():
            np.copyto(array, self._memory.whole[name])

    def score(self, whole: Mapping[str, NDArray[Any]]) -> None:
        """Let the second process fill every second of `parts`, and sleep then."""
        self._write(whole)
        self._order(SCORE)
        self._sleeps = True

    def finish(self) -> bool:
        try:
            self._await_done()
        except NoPartner:
            return False
        return True

    def _write(self, whole: Mapping[str, NDArray[Any]]) -> None:
        self._await_done()
        for name, array in whole.items():
            np.copyto(self._memory.whole[name], array)

    def _order(self, what: int, number: int = 0, rows: int = 0) -> None:
        """Say what comes next; the second process may still be at what came before."""
        if self._sleeps:
            self._wake()
        self._seat.wait(DONE, self._orders - 1)
        self._orders += 1
        numbers, place = self._memory.numbers, _order_place(self._orders)
        numbers[place], numbers[place + 1], numbers[place + 2] = what, number, rows
        numbers[ORDERS] = self._orders

    def _wake(self) -> None:
        try:
            self._seat.partner.send(b"!")
        except OSError as exc:
            raise NoPartner(str(exc)) from exc
        self._sleeps = False

    def _await_done(self) -> None:
        self._seat.wait(DONE, self._orders)


def _order_place(number: int) -> int:
    return ORDER + 8 * (number % 2)


def _serve(recipe: Recipe, dataset: Dataset, data: Arrangement, seat: Seat) -> NoReturn:
    """Be the second process, until the first is gone."""
    try:
        _leave_alone(seat.partner.fileno())
        Second(recipe, dataset, data, seat).serve()
    except NoPartner:
        pass
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _leave_alone(own: int) -> None:
    """Touch nothing of the first process but memory and its end of the socket.

    Its files are closed here, so that it alone holds their locks, and no destructor says goodbye to
    a database in its name.
    """
    gc.freeze()
    os.closerange(3, own)
    os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGTERM, signal.SIGINT):  # it ends when the first does
        signal.signal(number, signal.SIG_IGN)


class Second:
    """The second process: does what the first one orders."""

    def __init__(self, recipe: Recipe, dataset: Dataset, data: Arrangement, seat: Seat) -> None:
        self._data = data
        self._seat = seat
        self._memory = seat.memory
        self._activation = recipe.activation
        self._steps = HalfSteps(recipe, dataset, data, seat)
        self._evaluator = Evaluator((dataset.n_in, *recipe.hidden, dataset.classes))

    def serve(self) -> None:
        """Sleep until called, then obey until told to score; return when the first is gone."""
        numbers = self._memory.numbers
        orders = 0
        while self._seat.partner.recv(1):
            order = None
            while order != SCORE:
                orders += 1
                self._seat.wait(ORDERS, orders)
                order, *step = numbers[_order_place(orders) :][:3].tolist()
                self._obey(order, orders % 2, *step)
                numbers[DONE] = orders

    def _obey(self, order: int, slot: int, number: int, rows: int) -> None:
        if order == LOAD:
            self._seat.load(self._steps.arrays())
        elif order == STEP:
            rate = float(self._memory.rates[slot])
            self._steps.take(self._memory.rows[slot, :rows], rate, number)
        elif order == SAVE:
            self._seat.save(self._steps.arrays())
        else:
            network = Network.from_arrays(self._memory.whole, self._activation)
            blocks = islice(self._data.blocks(), 1, None, 2)
            deque(self._evaluator.fill(self._memory.parts[1::2], network, blocks), 0)
