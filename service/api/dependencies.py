"""What the endpoints work with, and the short names by which they ask for it."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from fastapi import Depends, Request

from mlp_client.records import Event, Job
from service.domain.cost import Limits
from service.domain.principal import Principal
from service.inference.model_cache import ModelCache
from service.store.datasets import DatasetStore
from service.store.files.local import Artifacts
from service.store.jobs import JobStore

News = tuple[Job, list[Event]]
"""A job, and those of its events that are new."""


class EventFeed(Protocol):
    """Follows the jobs that clients listen to; see `service.server.event_feed`."""

    def follow(self, id_: str, history: News, after: int) -> AsyncGenerator[News]: ...


@dataclass(frozen=True)
class Services:
    """The other services, as far as the front desk needs them; `app.py` fills it in."""

    jobs: JobStore
    models: ModelCache
    datasets: DatasetStore
    artifacts: Artifacts
    limits: Limits
    event_feed: EventFeed
    wake: Callable[[], None]
    """Tells the dispatcher that the queue has changed."""
    checks: dict[str, Callable[[], bool]]
    """What must hold for the service to be ready, by name."""
    metrics: Callable[[], tuple[bytes, str]]
    """Returns the metrics and their media type."""

    def seen_by(self, principal: Principal) -> "Services":
        """Return the services with those jobs and models alone that exist for `principal`."""
        return self.seen_by_owner(principal.owner, principal.sees_everything)

    def seen_by_owner(self, owner: str | None, everything: bool) -> "Services":
        jobs = self.jobs.seen_by(owner, everything=everything)
        return replace(self, jobs=jobs, models=self.models.seen_by(jobs))


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _rooms(request: Request, principal: PrincipalDep) -> Services:
    services: Services = request.app.state.services
    return services.seen_by(principal)


ServicesDep = Annotated[Services, Depends(_rooms)]
"""The services as far as the one who asks may see them; endpoints have no other way to the jobs."""
