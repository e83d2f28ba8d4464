"""Makes one of the file operations of a save fail."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


class FailingCalls:
    """Counts the calls that a save makes, and makes the n-th of them fail once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self._fail_at, self._errno = 0, 0, 0
        for owner, name in ((os, "fsync"), (os, "open"), (Path, "replace"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self.guarded(getattr(owner, name)))
        read, write = Path.open, self.guarded(Path.open)

        def opened(path: Path, mode: str = "r", **options: Any) -> Any:
            if mode != "wb":
                return read(path, mode, **options)
            return FailingFile(self, write(path, mode))

        monkeypatch.setattr(Path, "open", opened)

    def fail_at(self, number: int, errno: int) -> None:
        """Count from zero, and let the call of this number fail with this error."""
        self.count, self._fail_at, self._errno = 0, number, errno

    def guarded(self, call: Call) -> Call:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._fail_at:
                raise OSError(self._errno, os.strerror(self._errno))
            return call(*arguments, **options)

        return counted


class FailingFile:
    """A file that is open for writing, whose writes are counted and may fail."""

    def __init__(self, calls: FailingCalls, file: Any) -> None:
        self._file = file
        self.write, self.flush = calls.guarded(file.write), calls.guarded(file.flush)
        self.fileno = file.fileno

    def __enter__(self) -> "FailingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
