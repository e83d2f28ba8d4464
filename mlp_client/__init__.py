"""The Python client: what a notebook or another app needs to train and ask networks over HTTP.

    from mlp_client import Client

    with Client() as client:
        job = client.jobs.create("mlp-relu", epochs=10).wait()
        print(job.predict("seven.png").label)

It imports nothing of the server: pydantic, httpx2, rich and tenacity are enough.
"""

from mlp_client.client import Client
from mlp_client.errors import (
    ApiError,
    ClientError,
    ConnectionFailed,
    ImageUnusable,
    JobCancelled,
    JobFailed,
    KeyRefused,
    KeyUnusable,
    NotFoundError,
    RefusedError,
    ServerError,
    UnexpectedAnswer,
    WaitTimeout,
)
from mlp_client.jobs import JobHandle, Jobs, wait_all
from mlp_client.models import Models

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "ImageUnusable",
    "JobCancelled",
    "JobFailed",
    "JobHandle",
    "Jobs",
    "KeyRefused",
    "KeyUnusable",
    "Models",
    "NotFoundError",
    "RefusedError",
    "ServerError",
    "UnexpectedAnswer",
    "WaitTimeout",
    "wait_all",
]
