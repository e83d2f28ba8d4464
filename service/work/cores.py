"""Finds out how many processor cores this process may use, and whether one of them is idle."""

import os
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
LOAD_AVERAGE = Path("/proc/loadavg")


def usable_cores() -> int:
    """Return how many cores this process may keep busy: affinity and cgroup quota, at least 1."""
    affinity = len(os.sched_getaffinity(0))
    try:
        quota, period = CGROUP_QUOTA.read_text().split()
    except (OSError, ValueError):
        return affinity
    if quota == "max":
        return affinity
    return max(1, min(affinity, int(quota) // int(period)))


def a_core_is_idle() -> bool:
    """Return whether one more thread would find an idle core at this moment.

    The kernel counts runnable threads for the whole machine only. A process that is confined to
    some of the cores therefore gets False.
    """
    try:
        runnable = int(LOAD_AVERAGE.read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    cores = usable_cores()
    return cores == os.cpu_count() and runnable < cores
