"""Finds labels in paths by a regular expression of a client, which may be one that never ends."""

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from service.ingest.archives.archive_members import shown
from service.ingest.refusal import unusable

MOST_SECONDS = 5
"""Processor time for all paths together; 200,000 of them take less than one second."""
LOOK_SECONDS = 0.1
"""Time between two looks at the processor time."""


class _OutOfTime(Exception):
    pass


def labels_by_pattern(pattern: str, paths: Sequence[str]) -> list[str]:
    """Return what the group of a pattern matches in each path; "" where it matches nothing.

    Raises:
        Unusable: it is no regular expression, has not one group, or takes too long.

    """
    expression = _expression(pattern)
    labels: list[str] = []
    try:
        with _limited_time():
            for path in paths:
                match = expression.search(path)
                labels.append((match[1] or "") if match else "")
    except _OutOfTime as exc:
        raise unusable(
            "option",
            f"The pattern of the option `label` takes more than {MOST_SECONDS} seconds, the last "
            f"of them for {shown(paths[min(len(labels), len(paths) - 1)])!r}.",
            "label",
            "Repeat nothing within a repetition: write (a+) instead of ((?:a+)+).",
        ) from exc
    return labels


def _expression(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        raise unusable(
            "option", f"The pattern of the option `label` is no regular expression: {exc}.", "label"
        ) from exc
    if expression.groups != 1:
        raise unusable(
            "option",
            f"The pattern of the option `label` has {expression.groups} groups.",
            "label",
            'Put the class, and nothing else, in parentheses, as in "^([a-z]+)_".',
        )
    return expression


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raise _OutOfTime within, once the time is over; a search looks for signals meanwhile.

    Only the main thread of a process, such as that of a checker, can do this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deadline = time.process_time() + MOST_SECONDS

    def look(*_: object) -> None:
        if time.process_time() > deadline:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise _OutOfTime

    # A timer of processor time would be less exact: the kernel counts it in ticks, and a process
    # that shares its core is charged for too many or too few.
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
