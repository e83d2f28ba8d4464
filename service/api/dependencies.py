"""The services that the endpoints use, and the annotations that inject them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Protocol

from fastapi import Depends, Request
from starlette.types import Scope

from service.api.intake import Intake
from service.api.ticks import Listener
from service.domain.cost import Limits
from service.domain.principal import Principal
from service.inference.evaluate import Evaluations
from service.inference.model_cache import ModelCache
from service.store.collected_samples import CollectedSamples
from service.store.datasets import DatasetStore
from service.store.evaluation_tasks import EvaluationTasks
from service.store.event_log import EventLog
from service.store.hosts import Host
from service.store.job_counts import Counts
from service.store.jobs import JobStore
from service.store.kept_evaluations import KeptEvaluations
from service.store.stored_job import StoredEvent, StoredJob
from service.store.temperatures import Temperatures

News = tuple[StoredJob, list[StoredEvent]]
"""A job, and its new events."""


class EventTail(Protocol):
    """Tells listeners what happens to all jobs; `service.server.event_tail` implements it."""

    async def join(self, principal: Principal) -> Listener: ...

    def leave(self, listener: Listener) -> None: ...


class EventFeed(Protocol):
    """Sends the news of a job to its listeners; `service.server.event_feed` implements it."""

    def follow(self, id_: str, history: News, after: int) -> AsyncGenerator[News]: ...


class Sessions(Protocol):
    """Begins and ends sessions of browsers; `service.server.sessions` implements it."""

    async def begin(self, scope: Scope, key: str) -> str: ...

    def end(self, scope: Scope) -> str: ...


@dataclass(frozen=True)
class Services:
    """Everything that the endpoints need; `app.py` builds it."""

    jobs: JobStore
    models: ModelCache
    datasets: DatasetStore
    evaluations: Evaluations
    """What networks said about whole sets; reached with a network that the client may see."""
    kept_evaluations: KeptEvaluations
    """Answers about whole sets; reached in the same way."""
    temperatures: Temperatures
    """Temperatures that evaluations have fitted; reached in the same way."""
    evaluation_tasks: EvaluationTasks
    """Large evaluations, which wait for a worker."""
    intake: Intake
    """Receives the files of data sets."""
    samples: CollectedSamples
    """Collects data sets sample by sample."""
    limits: Limits
    event_feed: EventFeed
    event_tail: EventTail
    event_log: EventLog
    wake: Callable[[], None]
    """Wakes the dispatcher after a change of the queue."""
    is_stopping: Callable[[], bool]
    """Whether the server is about to stop, so that no request should wait any longer."""
    checks: dict[str, Callable[[], bool]]
    """The conditions for the service to be ready, by name."""
    metrics: Callable[[bool], tuple[bytes, str]]
    """Returns the metrics and their media type; if asked for, with predictions by model."""
    counts: Callable[[], Counts]
    """Counts the jobs of all owners."""
    slots: int
    """How many jobs this server can train concurrently."""
    hosts: Callable[[], Sequence[Host] | None]
    """Returns the hosts that train jobs; None if this server trains them all itself."""
    instance: Callable[[], str]
    """Returns the identifier of the service."""
    web_digest: Callable[[], str]
    """Returns the digest of the page's files."""

    def seen_by(self, principal: Principal) -> "Services":
        """Return the services restricted to what `principal` may see: jobs, models, data sets."""
        everything = principal.sees_everything
        own = self.seen_by_owner(principal.owner, everything)
        return replace(own, models=self.seen_by_owner(principal.models_owner, everything).models)

    def seen_by_owner(self, owner: str | None, everything: bool) -> "Services":
        jobs = self.jobs.seen_by(owner, everything=everything)
        datasets = self.datasets.seen_by(owner, everything=everything)
        return replace(
            self,
            jobs=jobs,
            models=self.models.seen_by(jobs),
            datasets=datasets,
            evaluation_tasks=self.evaluation_tasks.seen_by(owner, everything=everything),
            intake=self.intake.seen_by(datasets),
            samples=self.samples.seen_by(owner),
        )


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


PrincipalDep = Annotated[Principal, Depends(_principal)]


async def _services(request: Request, principal: PrincipalDep) -> Services:
    services: Services = request.app.state.services
    return services.seen_by(principal)


ServicesDep = Annotated[Services, Depends(_services)]
"""The services restricted to what the client may see; endpoints reach jobs in no other way."""


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.components.sessions
    return sessions


SessionsDep = Annotated[Sessions, Depends(_sessions)]
