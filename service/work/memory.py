"""Finds out how much memory this process may use, and how much of it jobs may take."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from service.domain.room import Room

MEMORY = Path("/proc/meminfo")
OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
SHARE_OF_JOBS = 0.8
"""The rest is for this process, checks of data sets, evaluations and the system."""


def room_for_jobs(asked: int | None) -> Room:
    """Return the memory that jobs may take: what a setting asks for, or else most of what is there.

    A job that is larger than the share of all jobs may still run alone, unless a setting says less.
    """
    if asked is not None:
        return Room(asked, asked)
    usable = usable_memory()
    return Room(int(SHARE_OF_JOBS * usable), usable)


def usable_memory() -> int:
    """Return how many bytes this process may use: those of the machine, or of its control group."""
    return min([_of_machine(), *_limits()])


def _of_machine() -> int:
    for line in MEMORY.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    raise OSError(f"{MEMORY} does not say how much memory there is")


def _limits() -> Iterator[int]:
    """Yield the limits of the control groups that this process is in."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits_of(CGROUPS, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_of(CGROUPS / "memory", path, "memory.limit_in_bytes")


def _limits_of(root: Path, path: str, name: str) -> Iterator[int]:
    """Yield the limits of a group and of those around it; a container sees only its own root."""
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):  # there is none, or it is "max"
            yield int((folder / name).read_text())
        if folder == root:
            return
