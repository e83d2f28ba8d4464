"""How questions about evaluations are answered: at once, from what is kept, or with 304."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote, urlencode

import structlog
from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

import service
from service.api.conditional import conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.evaluated import Evaluated, SplitQuery, evaluated
from service.api.heavy_answers import HEAVY_POOL
from service.api.network_headers import name_network
from service.api.public_path import public_path
from service.api.weights import Ref, newest
from service.domain.errors import StoreBroken
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import DatasetInfo

logger = structlog.get_logger(__name__)

Query = TypeVar("Query", bound=SplitQuery)
Query_co = TypeVar("Query_co", bound=SplitQuery, covariant=True)


@dataclass(frozen=True)
class Asking:
    """What every question about an evaluation comes with, beside its parameters."""

    services: ServicesDep
    request: Request
    ref: Ref


AskingDep = Annotated[Asking, Depends()]


@dataclass(frozen=True)
class Question(Generic[Query_co]):
    """What a client wants to know, with what the networks said."""

    ref: str
    """The network, as the client named it."""
    query: Query_co
    asked: Evaluated
    unlike: str = ""
    """Another network that was asked about the same images, as the client named it."""
    rival: Evaluated | None = None
    """What that network said."""

    @property
    def named(self) -> str:
        """The network, without the word `latest`, which will mean another one."""
        return _named(self.ref, self.asked)

    @property
    def rival_named(self) -> str:
        """The network that `unlike` names, in the same way."""
        return _named(self.unlike, self.rival) if self.rival else ""

    def address(self, file: str, ref: str = "", **others: str) -> str:
        """Return the address of a file about the same images, with further parameters."""
        path = f"/v1/models/{ref or self.named}/evaluation/{file}"
        parameters = self.query.asked() | others
        return public_path(path) + (f"?{urlencode(parameters)}" if parameters else "")

    def sample(self, index: int) -> str:
        """Return the address of an image."""
        ref, split = quote(self.asked.dataset.ref, safe="@:"), self.asked.split
        return public_path(f"/v1/datasets/{ref}/{split}/{index}.png")


def _named(ref: str, asked: Evaluated) -> str:
    _, at, epoch = ref.partition("@")
    return f"{asked.model.job}{at}{epoch}"


# --- Answering ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sources:
    """Everything that decides an answer: it is a fact about checkpoints, arrays and parameters."""

    checkpoint: CheckpointRef
    rival: CheckpointRef | None
    dataset: DatasetInfo | None
    """The data set that the client names."""
    asked: tuple[object, ...]
    """The route, the digest of that data set, and the parameters."""

    def with_networks(self, model: LoadedModel, rival: LoadedModel | None) -> "Sources":
        """Return the sources with the networks that answered, which may be newer ones."""
        other = rival.checkpoint if rival else None
        return Sources(model.checkpoint, other, self.dataset, self.asked)

    @property
    def etag(self) -> tuple[object, ...]:
        return (self.checkpoint, self.rival, *self.asked)

    def key(self, ref: str) -> str:
        """Return what tells an answer from all others; its links depend on reference and prefix."""
        decides = service.__version__, self.checkpoint, ref.partition("@")[2], public_path("")
        return hashlib.sha256(repr((*decides, *self.asked)).encode()).hexdigest()


async def answer(
    asking: Asking,
    query: Query,
    suffix: str,
    write: Callable[[Question[Query]], bytes],
    *,
    keep: bool = False,
) -> Response:
    """Answer with what `write` returns, or with 304 if the client already has it.

    Args:
        asking: who asks about which network.
        query: what the client wants to know.
        suffix: decides the media type.
        write: returns the body.
        keep: whether the answer is kept with the job, to be given again after a restart.

    """
    request = asking.request
    checkpoint, cached = await newest(asking.services, asking.ref)
    info, rival = await run_in_threadpool(_chosen, asking.services, query)
    route = request.scope["route"].path, info and info.sha256, *query.model_dump().values()
    sources = Sources(checkpoint, rival, info, route)
    if found := unchanged(request, suffix, sources.etag):
        return found
    make = partial(_made, asking, query, sources, cached, write, keep=keep)

    def respond() -> Response:
        answered, body = make()
        made = conditional(request, suffix, answered.etag, lambda: body)
        name_network(made, answered.checkpoint)
        return made

    return await HEAVY_POOL.run(request, respond)


def _made(
    asking: Asking,
    query: Query,
    sources: Sources,
    cached: LoadedModel | None,
    write: Callable[[Question[Query]], bytes],
    *,
    keep: bool,
) -> tuple[Sources, bytes]:
    """Return the body of an answer, kept or new, and what it is about."""
    services, ref = asking.services, asking.ref
    if keep and (body := _kept(services, sources, ref)):
        return sources, body
    model = cached or services.models.get(ref)
    asked = evaluated(services, model, sources.dataset, query.split, query.normalize)
    rival = _rival(services, asked, query.rival)
    body = write(Question(ref, query, asked, query.rival or "", rival))
    answered = sources.with_networks(model, rival.model if rival else None)
    if keep:
        _keep(services, answered, ref, body)
    return answered, body


def _kept(services: Services, sources: Sources, ref: str) -> bytes | None:
    found = services.kept_evaluations.find(sources.checkpoint.job, sources.key(ref))
    return found.encode() if found else None


def _keep(services: Services, answered: Sources, ref: str, body: bytes) -> None:
    """Keep an answer; one that can't be kept will be computed again."""
    job = answered.checkpoint.job
    try:
        services.kept_evaluations.keep(job, answered.key(ref), body.decode())
    except StoreBroken as exc:
        logger.warning("evaluation_not_kept", job=job, error=str(exc))


def _rival(services: Services, asked: Evaluated, unlike: str | None) -> Evaluated | None:
    """Return what another network says about the same images, whatever it was trained on.

    Raises:
        DatasetDiffers: the other network tells other classes apart.

    """
    if unlike is None:
        return None
    model = services.models.get(unlike)
    return evaluated(services, model, asked.dataset, asked.split, asked.normalize)


def _chosen(
    services: Services, query: SplitQuery
) -> tuple[DatasetInfo | None, CheckpointRef | None]:
    """Return a data set and the checkpoint of another network, if they are named."""
    info = services.datasets.describe(query.dataset) if query.dataset else None
    return info, services.models.newest_checkpoint(query.rival) if query.rival else None
