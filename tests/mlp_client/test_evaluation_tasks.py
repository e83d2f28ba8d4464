"""Large evaluations with both clients: queued, waited for, failed, and given up."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from mlp_client import (
    AsyncClient,
    Client,
    EvaluationFailed,
    RefusedError,
    WaitTimeout,
    evaluation_calls,
)
from service.api.evaluation_examples import EVALUATION, QUEUED_TASK, TASK_ID
from tests.support.fake_service import URL, problem

TOO_LARGE = {"code": "evaluation-too-large"}
# The address has a prefix, and names an epoch because the job trains on meanwhile.
LINKS = {
    "links": QUEUED_TASK["links"]
    | {"evaluation": f"/mlp/v1/models/{QUEUED_TASK['model']}@12/evaluation?split=train"}
}
Handler = Callable[[httpx2.Request], httpx2.Response]


def service(*states: str) -> tuple[Handler, list[str]]:
    """Return a service whose evaluation goes through some states, and what it is asked."""
    asked: list[str] = []
    left = list(states)

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            asked.append(json.loads(request.content)["model"])
            return httpx2.Response(202, json=QUEUED_TASK)
        if request.url.path == f"/v1/evaluations/{TASK_ID}":
            state = left.pop(0) if len(left) > 1 else left[0]
            reason = {"code": "dataset_gone", "message": "It is gone."}
            return httpx2.Response(
                200, json=QUEUED_TASK | {"state": state, "reason": reason} | LINKS
            )
        is_done = left[0] == "succeeded"
        return (
            httpx2.Response(200, json=EVALUATION) if is_done else problem(409, "No.", **TOO_LARGE)
        )

    return answer, asked


def blocking(handler: Handler, **options: Any) -> Any:
    client = Client(URL, transport=httpx2.MockTransport(handler), max_retries=0)
    return client.models.evaluation("latest@2", **options)


def asynchronous(handler: Handler, **options: Any) -> Any:
    async def ask() -> Any:
        transport = httpx2.MockTransport(handler)
        async with AsyncClient(URL, transport=transport, max_retries=0) as client:
            return await client.models.evaluation("latest@2", **options)

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("evaluation", [blocking, asynchronous])


@BOTH
def test_a_large_evaluation_is_queued_waited_for_and_then_read(evaluation: Any) -> None:
    handler, asked = service("queued", "running", "succeeded")
    assert evaluation(handler, wait=True).misread == EVALUATION["misread"]
    model = QUEUED_TASK["model"]
    assert asked == [
        "GET /v1/models/latest@2/evaluation",
        "POST /v1/evaluations",
        "latest@2",
        *[f"GET /v1/evaluations/{TASK_ID}"] * 3,
        f"GET /v1/models/{model}@12/evaluation",
    ]


@BOTH
def test_without_waiting_it_is_refused(evaluation: Any) -> None:
    handler, asked = service("queued")
    with pytest.raises(RefusedError):
        evaluation(handler)
    assert len(asked) == 1


@BOTH
def test_one_that_fails_says_why(evaluation: Any) -> None:
    handler, _ = service("running", "failed")
    with pytest.raises(EvaluationFailed, match=f"{TASK_ID} can't be made: It is gone"):
        evaluation(handler, wait=True)


def test_the_time_to_wait_can_be_limited() -> None:
    handler, _ = service("running")
    client = Client(URL, transport=httpx2.MockTransport(handler))
    with pytest.raises(WaitTimeout, match="The evaluation goes on"):
        client.evaluations.wait(TASK_ID, timeout=0.01)


@pytest.mark.parametrize(("seconds", "wait"), [(0.2, 1), (3.0, 3), (600, 10), (-0.1, 0)])
def test_a_look_waits_on_the_service_as_long_as_there_is_time(seconds: float, wait: int) -> None:
    """A part of a second is waited too, so requests never follow one another without a pause."""
    assert evaluation_calls.look(TASK_ID, seconds).arguments["params"]["wait"] == wait
