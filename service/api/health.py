"""Endpoints for operating the service: liveness, readiness and metrics."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import Field

from mlp_client.records import Record
from service.api.dependencies import PrincipalDep, ServicesDep
from service.api.openapi import TEXT
from service.api.system import run_checks

router = APIRouter(tags=["service"])


class Alive(Record):
    """The answer of a process that is alive."""

    status: Literal["alive"] = Field("alive", description="Always `alive`.")


class Ready(Record):
    """Whether the service can accept and run jobs."""

    status: Literal["ready", "not ready"] = Field(description="`ready` if all checks have passed.")
    checks: dict[str, bool] = Field(description="Whether each check has passed, by name.")


@router.get("/livez", name="livez", summary="Check that the process answers")
async def livez() -> Alive:
    """Answer 200 as long as the process runs, for a liveness probe."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "At least one check has failed."}},
    name="readyz",
    summary="Check that the service is ready",
)
def readyz(services: ServicesDep) -> Response:
    """Check the database, the data directory and the dispatcher, for a readiness probe.

    If several machines share artifacts, it also checks whether they can be reached. That there are
    no hosts is no failure: jobs are accepted, and wait.
    """
    checks = run_checks(services)
    good = all(checks.values())
    body = Ready(status="ready" if good else "not ready", checks=checks)
    return Response(body.model_dump_json(), 200 if good else 503, media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": TEXT}}},
    name="metrics",
    summary="Read metrics",
)
def metrics(services: ServicesDep, principal: PrincipalDep) -> Response:
    """Return counters and gauges in Prometheus's text format.

    Predictions are counted by model for a key with the scope `admin`, and otherwise together.
    """
    body, media_type = services.metrics(principal.sees_everything)
    return Response(body, media_type=media_type)
