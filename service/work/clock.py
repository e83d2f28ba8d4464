"""The part of the module `time` that dispatcher and worker use, which tests can replace."""

from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
