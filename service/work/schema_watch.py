"""Notices that a newer version has migrated the database that several hosts share."""

from collections.abc import Callable

import structlog

logger = structlog.get_logger(__name__)


class SchemaWatch:
    """Compares the schema of the database with the newest one that this version knows."""

    def __init__(
        self, revision: Callable[[], str | None], newest: str, on_newer: Callable[[], None]
    ) -> None:
        """Create it.

        Args:
            revision: returns the revision of the schema now, or None if there are no tables.
            newest: the newest one that this version knows, which it has had when this one started.
            on_newer: called once, when it is another one.

        """
        self._revision, self._newest, self._on_newer = revision, newest, on_newer
        self._has_seen = False

    def look(self) -> None:
        """Look at the schema now.

        Raises:
            StoreBroken: the database can't be read.

        """
        found = None if self._has_seen else self._revision()
        if found not in (None, self._newest):
            self._has_seen = True
            advice = "Start the version of that schema here: jobs are left to hosts that run it."
            logger.warning("schema_has_changed", found=found, known=self._newest, advice=advice)
            self._on_newer()
