"""Previews of jobs: what a spec would become and cost, or what is wrong with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import BeforeValidator, ValidationError

from mlp_client.job_spec import Spec, StoredSpec
from mlp_client.records import Cost, JobPreview
from service.api.dependencies import Services, ServicesDep
from service.api.jobs import EXAMPLES, data_of, fitted_to, json_only
from service.api.json_body import JsonRoute
from service.api.problem_responses import flaw_items
from service.api.validation import NO_PARAMETERS, problem_items
from service.domain import cost
from service.domain.dataset_shape import architecture
from service.domain.errors import SpecRefused
from service.domain.job_recipe import recipe_of

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=JsonRoute)


def _unchanged(value: Any) -> Any:
    return value


AnySpec = Annotated[dict[str, Any], BeforeValidator(_unchanged, json_schema_input_type=Spec)]
"""A JSON object that is described as a spec, and may be a wrong one."""


@router.post(
    "/jobs/preview",
    dependencies=[NO_PARAMETERS, Depends(json_only)],
    name="preview_job",
    summary="Preview a job",
)
def preview_job(
    services: ServicesDep, spec: Annotated[AnySpec, Body(openapi_examples=EXAMPLES)]
) -> JobPreview:
    """Return what a spec would become and cost, or what is wrong with it; nothing is stored.

    The answer is 200 in both cases: whether the spec is valid was the question.
    """
    try:
        valid = Spec.model_validate(spec)
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in exc.errors()]
        return JobPreview(ok=False, errors=problem_items(errors, None))
    try:
        return _preview(services, valid)
    except SpecRefused as exc:  # its data set does not exist, so nothing more is known
        return JobPreview(ok=False, errors=flaw_items(exc.flaws))


def _preview(services: Services, spec: Spec) -> JobPreview:
    manifest = data_of(services, spec)
    spec = fitted_to(spec, manifest)
    shape, recipe = manifest.sizes, recipe_of(spec.model_dump())
    preview = JobPreview(
        ok=True,
        spec=StoredSpec(**spec.model_dump()),
        network=architecture(shape, spec.hidden),
        cost=Cost(**vars(cost.cost_of(recipe, shape))),
        queue_position=services.jobs.queue_length() + 1,
    )
    try:
        cost.check(recipe, shape, services.limits)
    except SpecRefused as exc:
        refused = {"ok": False, "queue_position": None, "errors": flaw_items(exc.flaws)}
        return preview.model_copy(update=refused)
    return preview
