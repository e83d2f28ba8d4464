"""Folders of a host that shares its database with others: logs, and copies of what was sent.

Whoever deletes or ends a row can't reach the folders on other hosts, so each host deletes its own.
"""

import shutil
from pathlib import Path

from service.store.sql.connector import Connector
from service.store.sql.values import in_list

LOOKED_UP_TOGETHER = 500
LOGS_NEEDED = """
SELECT id FROM jobs WHERE id IN ({ids}) UNION ALL
SELECT id FROM evaluation_tasks WHERE job IS NOT NULL AND id IN ({ids})
"""
CHECK_LOGS_NEEDED = "SELECT id FROM datasets WHERE id IN ({ids})"
UPLOADS_NEEDED = """
SELECT id FROM datasets WHERE id IN ({ids}) AND state NOT IN ('ready', 'failed')
"""


class LocalFolders:
    """Folders by the ids of rows."""

    def __init__(self, connector: Connector, directory: Path, needed: str) -> None:
        """Create it.

        Args:
            connector: the database.
            directory: of the folders.
            needed: the statement that returns those of `{ids}` whose folders are still needed.

        """
        self._connector, self._directory, self._needed = connector, directory, needed

    def delete_unneeded(self) -> None:
        """Delete the folders that are not needed any more.

        Raises:
            StoreBroken: the database can't be read.

        """
        # A row is there before its folder. So what has a folder, and no row, has been deleted.
        ids = [path.name for path in self._directory.glob("*_*")]
        for start in range(0, len(ids), LOOKED_UP_TOGETHER):
            together = ids[start : start + LOOKED_UP_TOGETHER]
            for id_ in set(together) - self._needed_of(together):
                shutil.rmtree(self._directory / id_, ignore_errors=True)

    def _needed_of(self, ids: list[str]) -> set[str]:
        listed, parameters = in_list("id", ids)
        with self._connector.read() as transaction:
            rows = transaction.rows(self._needed.replace("{ids}", listed), **parameters)
        return {row["id"] for row in rows}
