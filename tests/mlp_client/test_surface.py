"""The blocking and the asynchronous client have the same surface."""

import inspect
from collections.abc import Callable
from typing import Any, get_overloads

import pytest

from mlp_client import (
    AsyncClient,
    AsyncDatasetHandle,
    AsyncDatasets,
    AsyncEvaluations,
    AsyncJobHandle,
    AsyncJobs,
    AsyncModels,
    Client,
    DatasetHandle,
    Datasets,
    Evaluations,
    JobHandle,
    Jobs,
    Models,
)

PAIRS = [
    (Client, AsyncClient),
    (Jobs, AsyncJobs),
    (JobHandle, AsyncJobHandle),
    (Models, AsyncModels),
    (Datasets, AsyncDatasets),
    (DatasetHandle, AsyncDatasetHandle),
    (Evaluations, AsyncEvaluations),
]
CONTEXT = {"__enter__": "__aenter__", "__exit__": "__aexit__"}


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    """Return the methods of a class that its users call, and those of `with`."""
    found = inspect.getmembers(kind, callable)
    return {
        name: method
        for name, method in found
        if not name.startswith("_") or name in {*CONTEXT, *CONTEXT.values()}
    }


def signature(method: Callable[..., Any]) -> str:
    """Return a signature in which the classes of both clients have the same names."""
    return str(inspect.signature(method)).replace("Async", "").replace("async_", "")


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_classes_have_the_same_methods_with_the_same_signatures(
    blocking: type, asynchronous: type
) -> None:
    expected = {
        CONTEXT.get(name, name): signature(method) for name, method in methods(blocking).items()
    }
    found = {name: signature(method) for name, method in methods(asynchronous).items()}
    assert found == expected


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Models, AsyncModels)])
def test_both_methods_have_the_same_overloads(blocking: type, asynchronous: type) -> None:
    first, second = (
        [signature(each) for each in get_overloads(vars(kind)["predict"])]
        for kind in (blocking, asynchronous)
    )
    assert len(first) == 2
    assert first == second


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_every_asynchronous_method_is_awaited_or_iterated_and_documented(
    blocking: type, asynchronous: type
) -> None:
    for name, method in methods(asynchronous).items():
        assert inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method), name
        if name not in CONTEXT.values():
            assert method.__doc__
            assert method.__doc__ == methods(blocking)[name].__doc__


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_classes_have_the_same_properties(blocking: type, asynchronous: type) -> None:
    first, second = (
        {name for name, _ in inspect.getmembers(kind, lambda it: isinstance(it, property))}
        for kind in (blocking, asynchronous)
    )
    assert first == second
