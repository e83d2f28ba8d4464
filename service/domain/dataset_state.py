"""The states of an uploaded data set."""

from enum import StrEnum


class DatasetState(StrEnum):
    """Where a data set is between its first byte and its use.

    receiving → queued → checking → ready or failed; a lost checker leads back to queued. A set of
    single samples begins as collecting, is queued once it is frozen, and keeps its samples if it
    fails.
    """

    COLLECTING = "collecting"
    """Labelled samples are added to it, one by one."""
    RECEIVING = "receiving"
    """Its files are being sent."""
    QUEUED = "queued"
    """All of it is here, and waits for a checker."""
    CHECKING = "checking"
    READY = "ready"
    """Jobs can train on it."""
    FAILED = "failed"
    """It can't be used; its report says why."""


FINAL = frozenset({DatasetState.READY, DatasetState.FAILED})
RESTING = FINAL | {DatasetState.COLLECTING}
"""States that a data set does not leave by itself."""
