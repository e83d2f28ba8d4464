"""The logs of workers on a host that shares its database with others.

Whoever deletes a job can't reach the logs on other hosts, so each host deletes those of its own.
"""

import shutil
from pathlib import Path

from service.store.sql.connector import Connector
from service.store.sql.values import in_list

LOOKED_UP_TOGETHER = 500
KNOWN = """
SELECT id FROM jobs WHERE id IN ({ids}) UNION ALL
SELECT id FROM evaluation_tasks WHERE job IS NOT NULL AND id IN ({ids})
"""


class WorkerLogs:
    """Folders by the ids of jobs and large evaluations."""

    def __init__(self, connector: Connector, directory: Path) -> None:
        self._connector, self._directory = connector, directory

    def delete_unneeded(self) -> None:
        """Delete the logs of what the database does not know any more.

        Raises:
            StoreBroken: the database can't be read.

        """
        # A row is there before its log. So what has a log, and later no row, has been deleted.
        ids = [path.name for path in self._directory.glob("*_*")]
        for start in range(0, len(ids), LOOKED_UP_TOGETHER):
            together = ids[start : start + LOOKED_UP_TOGETHER]
            for id_ in set(together) - self._known(together):
                shutil.rmtree(self._directory / id_, ignore_errors=True)

    def _known(self, ids: list[str]) -> set[str]:
        listed, parameters = in_list("id", ids)
        with self._connector.read() as transaction:
            rows = transaction.rows(KNOWN.replace("{ids}", listed), **parameters)
        return {row["id"] for row in rows}
