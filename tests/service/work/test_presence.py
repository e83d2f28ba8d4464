"""What the record of a host says of it."""

from service.store.hosts import HostStore
from service.store.sql.database import Database
from service.work.presence import Me, Presence
from tests.support.server_process import eventually


class RetiringHosts(HostStore):
    """Hosts of which the first retires while it is being recorded."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.presence = Presence(self, Me("a", slots=2, memory=1), lambda: False)
        self.slots = list[int]()

    def join(self, id_: str, name: str, slots: int, memory: int, version: str) -> None:
        super().join(id_, name, slots, memory, version)
        if not self.slots:
            self.presence.retire()
        self.slots.append(slots)

    def see(self, id_: str) -> bool:
        return True


def test_a_host_that_retires_while_it_is_recorded_is_soon_recorded_without_slots(
    database: Database,
) -> None:
    hosts = RetiringHosts(database)
    hosts.presence.start()
    try:
        assert hosts.slots == [2]
        eventually(lambda: hosts.slots == [2, 0], "the record to say that nothing is trained")
    finally:
        hosts.presence.stop()
