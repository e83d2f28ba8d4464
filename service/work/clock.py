"""The part of the module `time` that dispatcher and worker use, so that tests can replace it."""

from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
