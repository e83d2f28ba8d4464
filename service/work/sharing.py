"""What a dispatcher does in another way where several hosts share the rows."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sharing:
    """How this host shares the rows with others; by default, there are no others."""

    is_leading: Callable[[], bool] = lambda: True
    """Asks whether this host does what one does for all; it may raise StoreBroken."""
    try_storage: Callable[[], None] | None = None
    """Tries whether workers can store files from here, or raises StoreBroken.

    It is called before the first claim, and again after a worker could not. None where others than
    this host can't do any better.
    """
    idle_seconds: float = 0.0
    """The longest time between two rounds while no worker runs; where it is above the usual one,
    `Dispatcher.wake` is to be called when others queue rows."""
    tidy_seconds: float = 0.0
    """While nobody works, the leader deletes leftovers this often, or in each sweep.

    Above 0, other hosts share the files, and what earlier leaders have left is deleted in a thread.
    """


ALONE = Sharing()
