"""The hosts of a shared database: who works there, with how many slots, and when it was last seen.

The database's own clock decides which are alive, for the clocks of hosts may differ.
"""

from dataclasses import dataclass
from datetime import datetime

from service.domain.job_state import WITH_WORKER
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.transitions import states

SEE_SECONDS = 10
"""How often a host says that it is alive."""
ALIVE_SECONDS = 3 * SEE_SECONDS
"""A host that has not been seen for so long is not shown."""

# The row of a host that was killed is replaced by that of its next start.
JOIN = """
INSERT INTO hosts (id, name, slots, memory, version, started_at, seen_at)
VALUES (:id, :name, :slots, :memory, :version, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)
ON CONFLICT (id) DO UPDATE SET name = :name, slots = :slots, memory = :memory, version = :version,
    started_at = CURRENT_TIMESTAMP, seen_at = CURRENT_TIMESTAMP
"""
SEE = "UPDATE hosts SET seen_at = CURRENT_TIMESTAMP WHERE id = :id RETURNING id"
LEAVE = "DELETE FROM hosts WHERE id = :id"
# A server that trains nothing has a row too, by which its unfinished uploads are told from lost
# ones, but it is no host.
ALIVE = f"""
SELECT id, name, slots, memory, version, started_at, seen_at, coalesce(workers, 0) AS busy
FROM hosts LEFT JOIN (
    SELECT host, count(*) AS workers FROM jobs WHERE state IN ({states(WITH_WORKER)}) GROUP BY host
) AS working ON working.host = hosts.id
WHERE slots > 0 AND seen_at > CURRENT_TIMESTAMP - INTERVAL '1 second' * :seconds ORDER BY name, id
"""  # noqa: S608  names of our own
USERS = """
SELECT DISTINCT name FROM hosts
WHERE seen_at > CURRENT_TIMESTAMP - INTERVAL '1 second' * :seconds ORDER BY name
"""
LARGEST = """
SELECT max(memory) AS memory FROM hosts
WHERE slots > 0 AND seen_at > CURRENT_TIMESTAMP - INTERVAL '1 second' * :seconds
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
    """How many of its slots have a worker."""
    memory: int
    """Bytes of the largest job that it takes."""
    version: str
    started_at: datetime
    seen_at: datetime


def largest_memory(transaction: Transaction) -> int | None:
    """Return the bytes of the largest job that a host takes; None if there are no hosts."""
    found = transaction.row(LARGEST, seconds=ALIVE_SECONDS)
    return found["memory"] if found else None


class HostStore:
    """All hosts of a database that several share."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def join(self, id_: str, name: str, slots: int, memory: int, version: str) -> None:
        """Record a host that has just started.

        Args:
            id_: the identifier of its data directory, which a restart does not change.
            name: of the machine, for people.
            slots: how many jobs it trains at the same time.
            memory: bytes of the largest job that it takes.
            version: of the package.

        """
        with self._connector.write() as transaction:
            values = {"name": name[:64], "slots": slots, "memory": memory, "version": version}
            transaction.execute(JOIN, id=id_, **values)

    def see(self, id_: str) -> bool:
        """Record that a host is alive; False if it is not known."""
        with self._connector.write() as transaction:
            return transaction.row(SEE, id=id_) is not None

    def leave(self, id_: str) -> None:
        """Delete the record of a host that ends."""
        with self._connector.write() as transaction:
            transaction.execute(LEAVE, id=id_)

    def alive(self) -> list[Host]:
        """Return the hosts that were seen lately, by their names."""
        with self._connector.read() as transaction:
            return [Host(**row) for row in transaction.rows(ALIVE, seconds=ALIVE_SECONDS)]

    def users(self) -> list[str]:
        """Return the names of all machines that use the database, also of servers without slots."""
        with self._connector.read() as transaction:
            return [row["name"] for row in transaction.rows(USERS, seconds=ALIVE_SECONDS)]

    def forget_lost(self) -> None:
        """Delete the records of hosts that are long gone; the leader does so."""
        with self._connector.write() as transaction:
            transaction.execute(FORGET, seconds=10 * ALIVE_SECONDS)
