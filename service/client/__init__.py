"""The Python client: what a notebook or another app needs to train and ask networks over HTTP.

    from service.client import Client

    with Client() as client:
        job = client.jobs.create("mlp-relu", epochs=10).wait()
        print(job.predict("seven.png").label)

It may import `service.job`, `service.prediction`, httpx2, rich and tenacity; nothing of the server.
"""

from service.client.client import Client
from service.client.errors import (
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
from service.client.jobs import JobHandle, Jobs, wait_all
from service.client.models import Models

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
