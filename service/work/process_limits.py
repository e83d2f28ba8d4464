"""Limits that a worker sets on itself, so that it can't harm the server or the machine."""

import contextlib
import os
import resource
from pathlib import Path

NICENESS = 5
"""Added to the nice value that a worker inherits, so that the server runs before it."""
OOM_SCORE_ADJUSTMENT = 500
"""If the machine runs out of memory, the kernel kills a worker before the server."""
BASE_MEMORY_BYTES = 2 * 1024**3
"""Address space of the interpreter and the libraries, with room for what they allocate."""


def lower_priority() -> None:
    """Give the server precedence for processor and memory, and disable core dumps."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # some sandboxes have no such file
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(job_bytes: int, data_bytes: int) -> None:
    """Let a job that needs far more than its estimate fail with MemoryError before it swaps.

    Files that are mapped need address space, although they take no memory from anybody:
    `data_bytes` of them for the data set and its layouts.
    """
    limit = BASE_MEMORY_BYTES + 3 * job_bytes + data_bytes
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY:
        limit = min(limit, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
