"""The memory that two processes share, and how they wait for each other and exchange data."""

import math
import mmap
import os
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Matrix
from mlp_core.fast.block_evaluation import BlockTotals
from mlp_core.network import bias_name, weight_name

SPLIT_ARRAYS = weight_name(1), bias_name(1)  # the names of the arrays that are split end with these
COUNTERS = 64
EXCHANGES = 16  # where side 0 counts its exchanges of outputs
SIDE_DISTANCE = 8  # counters in a cache line: side 1 counts in the next line
SPINS = 3_000  # reads of a counter, for about 0.1 ms, before the core is offered to other processes
YIELDS = 1_000  # reads of a counter, each after such an offer, before the process sleeps
NAP_SECONDS = 0.0005  # how long it sleeps between two reads after that
PATIENCE_SECONDS = 2.0  # how long side 0 waits; side 1 waits for as long as side 0 exists


class PeerLost(Exception):
    """The other process is lost, with its half of the network; or none can be started."""


class SharedState:
    """The shared memory: the arrays of the whole network, and the data that is exchanged."""

    def __init__(self, whole: Mapping[str, NDArray[Any]], rows: int, blocks: int) -> None:
        self.counters = memoryview(shared_array((COUNTERS,), np.int64).data)
        self.whole = {name: shared_array(array.shape, array.dtype) for name, array in whole.items()}
        # There are two of each, used in turns: when a step begins, the other process may still be
        # reading those of the step before.
        self.H: NDArray[np.float32] = shared_array((2, rows, len(whole[bias_name(1)])), np.float32)
        self.rows: NDArray[np.int64] = shared_array((2, rows), np.int64)
        self.learning_rates: NDArray[np.float64] = shared_array((2,), np.float64)
        self.block_totals: BlockTotals = shared_array((blocks, 2), np.float64)


def shared_array(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array of zeros that stays the same memory in a forked process."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)


class Side:
    """One of the two processes, 0 or 1, with its means to communicate with the other.

    They wait for each other by reading counters again and again, because half a step takes less
    time than waking a sleeping process. What a counter announces is written before the counter;
    processors other than x86 would need memory barriers to keep that order.
    """

    def __init__(self, number: int, units: slice, state: SharedState, peer: socket.socket) -> None:
        """Create the side that has these `units` of the hidden layer and a socket to its `peer`."""
        self.units = units
        self.state = state
        self.peer = peer
        self._number = number
        self._exchanges = 0

    def wait(self, place: int, number: int) -> None:
        """Wait until the counter at this place is at least `number`.

        Raises:
            PeerLost: the other process has ended or, on side 0, does not get there in time.

        """
        counters = self.state.counters
        for _ in range(SPINS):
            if counters[place] >= number:
                return
        for _ in range(YIELDS):
            if counters[place] >= number:
                return
            os.sched_yield()
        deadline = time.monotonic() + (math.inf if self._number else PATIENCE_SECONDS)
        while counters[place] < number:
            is_closed = select.select([self.peer], [], [], NAP_SECONDS)[0]
            if is_closed or time.monotonic() >= deadline:
                raise PeerLost

    def exchange(self, own: Matrix) -> Matrix:
        """Share the outputs (rows, own units) with the other side; return those of all units.

        Raises:
            PeerLost: the other side is lost.

        """
        self._exchanges += 1
        H = self.state.H[self._exchanges % 2, : len(own)]
        H[:, self.units] = own
        self.state.counters[EXCHANGES + SIDE_DISTANCE * self._number] = self._exchanges
        self.wait(EXCHANGES + SIDE_DISTANCE * (1 - self._number), self._exchanges)
        return H

    def load(self, own: Mapping[str, NDArray[Any]]) -> None:
        """Copy the whole arrays, or this side's half of those that are split, to `own`."""
        for name, array in own.items():
            np.copyto(array, self._part(name))

    def save(self, own: Mapping[str, NDArray[Any]]) -> None:
        """Copy `own` to the whole arrays; only side 0 copies those that are not split."""
        for name, array in own.items():
            if self._number == 0 or name.endswith(SPLIT_ARRAYS):
                np.copyto(self._part(name), array)

    def _part(self, name: str) -> NDArray[Any]:
        whole = self.state.whole[name]
        return whole[..., self.units] if name.endswith(SPLIT_ARRAYS) else whole
