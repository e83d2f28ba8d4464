"""How workers of one kind have ended, and how long they have worked, for the metrics."""

from collections.abc import Callable

from service.domain.job_state import FINAL, State

OUTCOMES = (State.SUCCEEDED, State.FAILED, "requeued", "deleted")
"""All that there are; a worker that was lost has requeued its row, and a deleted row has none."""


class EndedWork:
    """Counts the workers that a dispatcher has seen end.

    Sums over the rows would shrink whenever one is deleted.
    """

    def __init__(self, state_of: Callable[[str], State | None]) -> None:
        """Create it; `state_of` returns the state of a row, and None if it has been deleted."""
        self._state_of = state_of
        self._totals: dict[str, tuple[int, float]] = dict.fromkeys(OUTCOMES, (0, 0.0))

    def note(self, row: str, seconds: float) -> None:
        """Count a worker that has ended.

        Raises:
            StoreBroken: the database can't be read; nothing was counted.

        """
        state = self._state_of(row)
        outcome = "deleted" if state is None else state if state in FINAL else "requeued"
        count, total = self._totals[outcome]
        self._totals[outcome] = count + 1, total + seconds

    def totals(self) -> dict[str, tuple[int, float]]:
        """Return how many workers have ended, and their seconds together, by outcome."""
        return self._totals.copy()
