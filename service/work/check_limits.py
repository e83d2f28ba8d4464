"""Limits that a checker sets on itself, because it reads files of strangers."""

import contextlib
import os
import resource
import signal
from pathlib import Path

from service.work.process_limits import OOM_SCORE_ADJUSTMENT

NICENESS = 10
"""Added to the nice value that a checker inherits: workers and the server run before it."""
MEMORY_BYTES = 300 * 1024**2
"""A checker takes less than this of the machine's memory, whatever it reads."""
DATA_BYTES = MEMORY_BYTES
"""Allocated by a checker at most. Its libraries take 25 to 50 MB more, and of what it allocates at
least as much stays untouched, such as the stacks of threads."""
ADDRESS_BYTES = 1024**3
"""Reserved by a checker at most: libraries reserve much that they do not use."""
PROCESSOR_SECONDS = 600
GRACE_SECONDS = 10
"""After `PROCESSOR_SECONDS` the checker has so long to record that it has failed."""
FILE_BYTES = 2 * 1024**3


class OutOfTime(BaseException):
    """The check has used up its processor time; no reader of a format can catch this by chance."""


def limit_check() -> None:
    """Limit memory, processor time and the size of files of this process; disable core dumps."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # some sandboxes have no such file
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT))
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # that of pyarrow takes 128 MB at once
    signal.signal(signal.SIGXCPU, _end)
    for limit, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, ADDRESS_BYTES, ADDRESS_BYTES),
        (resource.RLIMIT_DATA, DATA_BYTES, DATA_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS, PROCESSOR_SECONDS + GRACE_SECONDS),
    ):
        _, allowed = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        resource.setrlimit(limit, (soft, hard))


def _end(*_: object) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # it comes again each second
    raise OutOfTime
