"""Compares two networks by what each of them says about the same images."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from mlp_client.evaluations import Comparison
from service.api.evaluated import Evaluated, SplitQuery
from service.api.evaluation_answers import AskingDep, Question, answer
from service.api.openapi import NOT_MODIFIED
from service.inference.classification_metrics import mcnemar

router = APIRouter(prefix="/v1/models/{ref}/evaluation", tags=["models"])


class ComparisonQuery(SplitQuery):
    unlike: str = Field(
        max_length=64,
        description="The other network, as a job's id or `latest`, perhaps with `@`.",
        examples=["latest@1"],
    )

    @property
    def rival(self) -> str:
        return self.unlike


@router.get(
    "/comparison",
    response_model=Comparison,
    responses=NOT_MODIFIED,
    name="compare_networks",
    summary="Compare two networks on a whole set",
)
async def compare_networks(
    asking: AskingDep, query: Annotated[ComparisonQuery, Query()]
) -> Response:
    """Count the images that both networks read, that only one of them reads, and that neither does.

    McNemar's test says how probable so large a difference would be by chance, if both networks were
    equally good.
    """
    return await answer(asking, query, "json", _compared)


def _compared(question: Question[ComparisonQuery]) -> bytes:
    asked, rival = question.asked, question.rival
    assert rival is not None  # noqa: S101  `unlike` is required
    counts = _counts(asked, rival)
    test = mcnemar(counts["only_this"], counts["only_other"])
    accuracy, other = asked.found.accuracy, rival.found.accuracy
    record = Comparison.model_validate(
        asked.named()
        | counts
        | {
            "unlike": rival.named(),
            "rows": len(asked.found.labels),
            "accuracy": accuracy,
            "unlike_accuracy": other,
            "mcnemar": vars(test),
            "links": {
                "only_other": question.address("misread.json", unlike=question.rival_named),
                "only_this": question.address(
                    "misread.json", ref=question.rival_named, unlike=question.named
                ),
            },
        }
    )
    return record.model_dump_json().encode()


def _counts(asked: Evaluated, rival: Evaluated) -> dict[str, Any]:
    """Return how many images both, one or neither of the networks read."""
    first, second = asked.found.is_right, rival.found.is_right
    return {
        "both": int((first & second).sum()),
        "only_this": int((first & ~second).sum()),
        "only_other": int((~first & second).sum()),
        "neither": int((~first & ~second).sum()),
    }
