"""The calls that concern large evaluations: queue one, watch it, delete it."""

import math
import time
from typing import Any
from urllib.parse import quote

from mlp_client.calls import Call, Calls, nothing, record
from mlp_client.compact_json import compact
from mlp_client.errors import EvaluationFailed, WaitTimeout
from mlp_client.evaluation_records import EvaluationState, EvaluationTask, EvaluationTaskList
from mlp_client.job_calls import OUTAGE_SECONDS

PATH = "/v1/evaluations"
JSON_HEADERS = {"Content-Type": "application/json"}
LOOK_SECONDS = 10
"""How long a request may wait for the end of an evaluation."""
TOO_LARGE = "evaluation-too-large"
"""The code of the answer for an evaluation that must be queued."""


def submit(asked: dict[str, Any]) -> Call[EvaluationTask]:
    given = {name: value for name, value in asked.items() if value is not None}
    arguments = {"content": compact(given), "headers": JSON_HEADERS}
    return Call("POST", PATH, record(EvaluationTask), arguments)


def all_tasks() -> Call[EvaluationTaskList]:
    return Call("GET", PATH, record(EvaluationTaskList))


def get(task: str) -> Call[EvaluationTask]:
    return Call("GET", _path(task), record(EvaluationTask))


def look(task: str, seconds: float = LOOK_SECONDS) -> Call[EvaluationTask]:
    """Read an evaluation at its end, or after some seconds.

    A part of a second counts as a whole one: without waiting, requests would follow one another as
    fast as they can until the time is over.
    """
    params = {"params": {"wait": max(0, min(LOOK_SECONDS, math.ceil(seconds)))}}
    return Call("GET", _path(task), record(EvaluationTask), params, patience=OUTAGE_SECONDS)


def until_ended(task: str, timeout: float | None) -> Calls[EvaluationTask]:
    """Yield the calls that read an evaluation until it has succeeded.

    Raises:
        EvaluationFailed: it can't be made.
        WaitTimeout: the time is over.

    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LOOK_SECONDS if deadline is None else deadline - time.monotonic()
        found = yield look(task, left)
        if found.state == EvaluationState.FAILED:
            raise EvaluationFailed(found)
        if found.has_ended:
            return
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeout([task], timeout or 0, "The evaluation goes on.")


def delete(task: str) -> Call[None]:
    return Call("DELETE", _path(task), nothing)


def _path(task: str) -> str:
    return f"{PATH}/{quote(task, safe='')}"
