"""Says what the server is and does, and what the client may do there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastapi import APIRouter

import service
from mlp_client.system_record import Host, Keys, Session, Slots, SpecLimits, System
from service.api.dependencies import PrincipalDep, Services, ServicesDep
from service.api.validation import NO_PARAMETERS
from service.domain.principal import Principal
from service.store.hosts import Host as StoredHost
from service.store.job_counts import Counts, busy, seen

router = APIRouter(prefix="/v1", tags=["service"])

MAY_READ = {"read", "admin"}


@router.get(
    "/system",
    response_model_exclude_unset=True,
    dependencies=[NO_PARAMETERS],
    name="get_system",
    summary="Read the state of the server",
)
def get_system(services: ServicesDep, principal: PrincipalDep) -> System:
    """Return what the server is, what it is doing, and what the client may do there.

    A client without an API key only learns the version and that it needs a key.
    """
    if principal.is_stranger:
        return System(object="system", version=service.__version__, keys=Keys(required=True))
    hosts = services.hosts()
    found = Observed(services.counts(), run_checks(services), hosts)
    record = system_record(services, principal, found)
    if hosts is None or not principal.scopes & MAY_READ:
        return record
    listed = [Host.model_validate(host, from_attributes=True) for host in hosts]
    return record.model_copy(update={"hosts": listed})


def run_checks(services: Services) -> dict[str, bool]:
    """Return whether each check of `/readyz` passes."""
    return {name: check() for name, check in services.checks.items()}


class Observed(NamedTuple):
    """What was found out about the service, for all clients."""

    counts: Counts
    checks: Mapping[str, bool]
    hosts: Sequence[StoredHost] | None
    """None if the server trains all jobs itself."""


def system_record(services: Services, principal: Principal, found: Observed) -> System:
    """Return the record for a client with a valid key, or for anybody without keys.

    The hosts are not in it: they change with each look at them, and streams send what changes.
    """
    counts, checks, hosts = found
    slots = Slots(total=services.slots, busy=busy(counts))
    if hosts is not None:
        total = sum(host.slots for host in hosts)
        slots = Slots(total=total, busy=busy(counts), hosts=len(hosts))
    jobs = {}
    if principal.scopes & MAY_READ:
        jobs["jobs"] = seen(counts, principal.sees)
    session = Session(
        owner=principal.owner, scopes=sorted(principal.scopes), expires_at=principal.expires_at
    )
    return System(
        object="system",
        version=service.__version__,
        keys=Keys(required=principal.key_id is not None),
        instance=services.instance(),
        web=services.web_digest(),
        ready=all(checks.values()),
        checks=dict(checks),
        slots=slots,
        limits=SpecLimits.model_validate(services.limits, from_attributes=True),
        session=session,
        **jobs,
    )
