"""How many data sets there may be, and how much of the disk they may take."""

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class DatasetQuota:
    """The most that one owner, and all together, may have; failed data sets do not count."""

    sets: int = 20
    """Data sets of one owner."""
    owner_bytes: int = 4 * GIB
    """What one owner may keep: as sent until it is checked, then as it takes on the disk."""
    all_bytes: int = 20 * GIB
    """What all owners together may keep."""


@dataclass(frozen=True)
class DatasetUsage:
    """What counts towards a quota."""

    sets: int
    owner_bytes: int
    all_bytes: int
