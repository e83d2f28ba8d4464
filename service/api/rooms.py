"""What the endpoints work with, and the short names by which they ask for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request

from service.api.access import Principal
from service.api.tail import Tail
from service.cost import Limits
from service.store.artifacts import Artifacts
from service.store.datasets import DatasetShelf
from service.store.jobs import JobStore
from service.store.networks import Networks


@dataclass(frozen=True)
class Rooms:
    """The other rooms, as far as the front desk needs them; `app.py` fills it in."""

    jobs: JobStore
    networks: Networks
    datasets: DatasetShelf
    artifacts: Artifacts
    limits: Limits
    tail: Tail
    wake: Callable[[], None]
    """Tells the dispatcher that the queue has changed."""
    checks: dict[str, Callable[[], bool]]
    """What must hold for the service to be ready, by name."""
    metrics: Callable[[], tuple[bytes, str]]
    """Returns the metrics and their media type."""

    def seen_by(self, principal: Principal) -> "Rooms":
        """Return the rooms with those jobs and networks alone that exist for `principal`."""
        return self.seen_by_owner(principal.owner, principal.sees_everything)

    def seen_by_owner(self, owner: str | None, everything: bool) -> "Rooms":
        jobs = self.jobs.seen_by(owner, everything=everything)
        return replace(self, jobs=jobs, networks=self.networks.seen_by(jobs))


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _rooms(request: Request, principal: PrincipalDep) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms.seen_by(principal)


RoomsDep = Annotated[Rooms, Depends(_rooms)]
"""The rooms as far as the one who asks may see them; endpoints have no other way to the jobs."""
