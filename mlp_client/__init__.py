"""The Python client of mlp-service: train networks and get predictions over HTTP.

    from mlp_client import Client

    with Client() as client:
        job = client.jobs.create("mlp-relu", epochs=10).wait()
        print(job.predict("seven.png").label)

`AsyncClient` has the same methods for asyncio. The package imports nothing of the server; pydantic,
httpx2 and tenacity are enough, and rich, NumPy and Pillow are used where they are installed. A name
is imported when it is first used, because workers import `mlp_client.job_state` and must start
fast.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlp_client.async_client import AsyncClient
    from mlp_client.async_datasets import AsyncDatasetHandle, AsyncDatasets
    from mlp_client.async_evaluation_tasks import AsyncEvaluations
    from mlp_client.async_jobs import AsyncJobHandle, AsyncJobs
    from mlp_client.async_models import AsyncModels
    from mlp_client.client import Client
    from mlp_client.datasets import DatasetHandle, Datasets
    from mlp_client.errors import (
        AddressUnusable,
        ApiError,
        ClientError,
        ConnectionFailed,
        DatasetFailed,
        DatasetUnusable,
        EvaluationFailed,
        ImageUnusable,
        JobCancelled,
        JobFailed,
        KeyRefused,
        KeyUnusable,
        NotFoundError,
        ProxyUnusable,
        RefusedError,
        ServerError,
        SpecUnusable,
        UnexpectedAnswer,
        WaitTimeout,
    )
    from mlp_client.evaluation_tasks import Evaluations
    from mlp_client.jobs import JobHandle, Jobs, wait_all
    from mlp_client.models import Models
    from mlp_client.pictures import Picture

__version__ = "0.1.0"

__all__ = [
    "AddressUnusable",
    "ApiError",
    "AsyncClient",
    "AsyncDatasetHandle",
    "AsyncDatasets",
    "AsyncEvaluations",
    "AsyncJobHandle",
    "AsyncJobs",
    "AsyncModels",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DatasetFailed",
    "DatasetHandle",
    "DatasetUnusable",
    "Datasets",
    "EvaluationFailed",
    "Evaluations",
    "ImageUnusable",
    "JobCancelled",
    "JobFailed",
    "JobHandle",
    "Jobs",
    "KeyRefused",
    "KeyUnusable",
    "Models",
    "NotFoundError",
    "Picture",
    "ProxyUnusable",
    "RefusedError",
    "ServerError",
    "SpecUnusable",
    "UnexpectedAnswer",
    "WaitTimeout",
    "wait_all",
]

_MODULES = {
    "AsyncClient": "async_client",
    "AsyncDatasetHandle": "async_datasets",
    "AsyncDatasets": "async_datasets",
    "AsyncEvaluations": "async_evaluation_tasks",
    "AsyncJobHandle": "async_jobs",
    "AsyncJobs": "async_jobs",
    "AsyncModels": "async_models",
    "Client": "client",
    "DatasetHandle": "datasets",
    "Datasets": "datasets",
    "Evaluations": "evaluation_tasks",
    "JobHandle": "jobs",
    "Jobs": "jobs",
    "Models": "models",
    "Picture": "pictures",
    "wait_all": "jobs",
}
"""The module that defines a public name. Names that are not listed are in `errors`."""

if not TYPE_CHECKING:  # with a __getattr__, type checkers would accept every name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"mlp_client.{_MODULES.get(name, 'errors')}")
        return getattr(module, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
