"""The hosts of a shared database: who works there, with how many slots, and when it was last seen.

The database's own clock decides which are alive, for the clocks of hosts may differ.
"""

from dataclasses import dataclass
from datetime import datetime

from service.store.sql.connector import Connector

SEE_SECONDS = 10
"""How often a host says that it is alive."""
ALIVE_SECONDS = 3 * SEE_SECONDS
"""A host that has not been seen for so long is not shown."""

# The row of a host that was killed is replaced by that of its next start.
JOIN = """
INSERT INTO hosts (id, name, slots, busy, version, started_at, seen_at)
VALUES (:id, :name, :slots, 0, :version, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)
ON CONFLICT (id) DO UPDATE SET name = :name, slots = :slots, busy = 0, version = :version,
    started_at = CURRENT_TIMESTAMP, seen_at = CURRENT_TIMESTAMP
"""
SEE = "UPDATE hosts SET busy = :busy, seen_at = CURRENT_TIMESTAMP WHERE id = :id RETURNING id"
LEAVE = "DELETE FROM hosts WHERE id = :id"
ALIVE = """
SELECT id, name, slots, busy, version, started_at, seen_at FROM hosts
WHERE seen_at > CURRENT_TIMESTAMP - INTERVAL '1 second' * :seconds ORDER BY name, id
"""
FORGET = """
DELETE FROM hosts WHERE seen_at < CURRENT_TIMESTAMP - INTERVAL '1 second' * :seconds
"""


@dataclass(frozen=True)
class Host:
    """A process that works on rows of a shared database, on one machine."""

    id: str
    name: str
    slots: int
    busy: int
    version: str
    started_at: datetime
    seen_at: datetime


class HostStore:
    """All hosts of a database that several share."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def join(self, id_: str, name: str, slots: int, version: str) -> None:
        """Record a host that has just started.

        Args:
            id_: the identifier of its data directory, which a restart does not change.
            name: of the machine, for people.
            slots: how many jobs it trains at the same time.
            version: of the package.

        """
        with self._connector.write() as transaction:
            transaction.execute(JOIN, id=id_, name=name[:64], slots=slots, version=version)

    def see(self, id_: str, busy: int) -> bool:
        """Record that a host is alive, and how many slots are busy; False if it is not known."""
        with self._connector.write() as transaction:
            return transaction.row(SEE, id=id_, busy=busy) is not None

    def leave(self, id_: str) -> None:
        """Delete the record of a host that ends."""
        with self._connector.write() as transaction:
            transaction.execute(LEAVE, id=id_)

    def alive(self) -> list[Host]:
        """Return the hosts that were seen lately, by their names."""
        with self._connector.read() as transaction:
            return [Host(**row) for row in transaction.rows(ALIVE, seconds=ALIVE_SECONDS)]

    def forget_lost(self) -> None:
        """Delete the records of hosts that are long gone; the leader does so."""
        with self._connector.write() as transaction:
            transaction.execute(FORGET, seconds=10 * ALIVE_SECONDS)
