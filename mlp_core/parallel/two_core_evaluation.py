"""Evaluation with a second core: in a thread during training, or shared with a second process."""

import contextvars
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from threading import Thread
from typing import Protocol

from mlp_core.fast.block_evaluation import BlockEvaluation, BlockTotals
from mlp_core.metrics import Scores
from mlp_core.network import Network


class SecondEvaluator(Protocol):
    """Another process, which fills every second row of the block totals, from index 1."""

    block_totals: BlockTotals
    """Shared memory, in which this process fills the other rows."""

    def finish_evaluation(self) -> bool:
        """Wait until the other process has filled its rows; return whether it has."""
        ...


class TwoCoreEvaluation(BlockEvaluation):
    """Evaluates a copy of a network in this process, in two processes, or in a thread.

    NumPy releases the interpreter lock while it computes, so a thread can work during the next
    epoch. Without an idle core it would only push the epoch's data out of the cache. The scores are
    the same in each case.
    """

    _result: Future[Scores | None] | None = None  # of the thread

    @property
    def in_thread(self) -> bool:
        return self._result is not None

    def start_shared(self, network: Network, second: SecondEvaluator) -> None:
        """Begin to evaluate a copy of `network`; the second process must have begun already."""
        self.start(network)
        self._slices = self._evaluate_shared(second)

    def start_in_thread(self, network: Network) -> None:
        """Begin to evaluate a copy of `network` in a thread, or here if none can be started."""
        self.start(network)
        result: Future[Scores | None] = Future()
        # A new thread would have NumPy's default error state, so it runs in a copy of this context.
        # It is a daemon, so that it can't keep the process from ending.
        run = contextvars.copy_context().run
        thread = Thread(target=run, args=(_complete, self._slices, result), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads or too little memory
            return
        self._result = result

    def advance(self, patience: float = 0.0) -> Scores | None:
        if self._result is None:
            return super().advance()
        if patience:
            wait([self._result], patience)
        if not self._result.done():
            return None
        result, self._result, self._slices = self._result, None, None
        return result.result()

    def _evaluate_shared(self, second: SecondEvaluator) -> Iterator[Scores | None]:
        yield from self._fill(second.block_totals, 0, 2)
        if not second.finish_evaluation():
            yield from self._fill(second.block_totals, 1, 2)
        yield self._scores(second.block_totals)


def _complete(slices: Iterator[Scores | None], result: Future[Scores | None]) -> None:
    try:
        result.set_result(deque(slices, 1).pop())
    except BaseException as exc:
        result.set_exception(exc)
