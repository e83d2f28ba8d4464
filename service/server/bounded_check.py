"""A check of something far away that is asked seldom, and waited for briefly."""

import threading
import time
from collections.abc import Callable

from service.work.clock import Clock

FRESH_SECONDS = 5.0
"""How long an answer counts, however often it is asked for."""
PATIENCE_SECONDS = 0.8
"""How long one asks; probes often wait for a second only."""
KEPT_SECONDS = 15.0
"""How long the last answer counts while the next one is late."""


class BoundedCheck:
    """Says whether something works, in bounded time and at a bounded cost.

    One thread at most asks: whatever does not answer is not asked again before it does.
    """

    def __init__(self, works: Callable[[], bool], clock: Clock = time) -> None:
        """Create it; `works` asks, and may take long."""
        self._works, self._clock = works, clock
        self._lock = threading.Lock()
        self._asking: threading.Event | None = None
        """Set when the answer is there; None while nobody asks."""
        self._answer, self._answered_at = False, -KEPT_SECONDS

    def __call__(self) -> bool:
        with self._lock:
            if self._age() < FRESH_SECONDS:
                return self._answer
            answered = self._asking or self._ask()
        answered.wait(PATIENCE_SECONDS)
        with self._lock:
            return self._answer and self._age() < KEPT_SECONDS

    def _age(self) -> float:
        return self._clock.monotonic() - self._answered_at

    def _ask(self) -> threading.Event:
        answered = self._asking = threading.Event()

        def ask() -> None:
            works = False
            try:
                works = self._works()
            finally:  # a mistake counts as a failure, and must not be the last answer for ever
                with self._lock:
                    self._answer, self._answered_at = works, self._clock.monotonic()
                    self._asking = None
                answered.set()

        threading.Thread(target=ask, name="check", daemon=True).start()
        return answered
