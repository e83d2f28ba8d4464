"""Writes log lines to a stream without ever waiting for whoever reads it."""

import io
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from typing import TextIO

MAX_WAITING_BYTES = 1024**2
"""Lines that wait for a reader may take this much memory; further ones are dropped and counted."""
CHUNK_BYTES = select.PIPE_BUF
"""A pipe that is ready to be written to takes this many bytes at once without blocking."""
UNMADE_BYTES = 300
"""What a line that is not made yet counts for."""
PATIENCE_SECONDS = 1.0
"""How long `close` waits for a reader."""

Line = str | Callable[[], str]
"""A line, or what makes it when it is written: many are made in less time together than singly."""


class LogWriter:
    """Lines for one stream, collected by `add` and written together by `flush`, from any thread.

    A pipe that nobody reads would block its writer, and with it every request; here lines wait in
    memory, and beyond a limit they are dropped. A stream that is closed or fails loses its lines.
    """

    def __init__(self, stream: TextIO | None, describe_lost: Callable[[int], str]) -> None:
        """Write to `stream`; `describe_lost` makes the line that says how many were dropped."""
        self._stream, self._file = stream, _descriptor(stream)
        self._is_pollable = self._file is not None and not _is_regular(self._file)
        self._describe_lost = describe_lost
        self._lines: list[Line] = []
        self._rest = b""
        """The end of what could be written only in part."""
        self._waiting_bytes = self._lost = 0
        self._lock = threading.Lock()

    def add(self, line: Line) -> None:
        """Keep a line, with its line feed, for the next `flush`."""
        with self._lock:
            if self._waiting_bytes > MAX_WAITING_BYTES:
                self._lost += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line) if isinstance(line, str) else UNMADE_BYTES

    def flush(self) -> bool:
        """Write what was added, as far as that is possible now; return whether all is written."""
        with self._lock:
            try:
                if self._lines or self._rest or self._lost:
                    self._write()
            except (OSError, ValueError):  # the stream is closed, or its disk is full
                self._rest = b""
            self._waiting_bytes = len(self._rest)
            return not self._rest

    def close(self) -> None:
        """Write what was added, and wait a little if the reader is slow."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.flush() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _write(self) -> None:
        text = "".join([line if isinstance(line, str) else line() for line in self._lines])
        self._lines.clear()
        if self._file is None:
            if self._stream is not None:
                self._stream.write(text)
            return
        self._rest = self._written(self._file, self._rest + text.encode(errors="backslashreplace"))
        if self._lost and not self._rest:
            lost, self._lost = self._describe_lost(self._lost), 0
            self._rest = self._written(self._file, lost.encode())

    def _written(self, file: int, data: bytes) -> bytes:
        """Write `data` as far as the stream takes it without blocking; return the rest."""
        while data and (not self._is_pollable or _is_ready(file)):
            chunk = data[:CHUNK_BYTES] if self._is_pollable else data
            data = data[os.write(file, chunk) :]
        return data


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the file descriptor below a stream; None if it has none or there is no stream."""
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError, io.UnsupportedOperation):
        return None


def _is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)


def _is_ready(file: int) -> bool:
    """Return whether a write would not block; one that fails does not block either."""
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    return bool(poll.poll(0))
