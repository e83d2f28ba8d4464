"""The client: one object that knows the server's address and what can be asked there."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx2

from mlp_client.connection import Connection
from mlp_client.jobs import JobHandle, Jobs, wait_all
from mlp_client.models import Models, PictureFormat
from mlp_client.records import Record

DEFAULT_URL = "http://127.0.0.1:8000"


class Preset(Record):
    name: str
    description: str
    spec: dict[str, Any]


class Sample(Record):
    """A labelled image of a data set."""

    index: int
    label: int
    pixels: list[list[int]]


class _Presets(Record):
    data: list[Preset]


class Client:
    """Speaks to one server; safe to share between threads.

    Args:
        base_url: default `$MLP_SERVICE_URL`, else http://127.0.0.1:8000; `http://` may be left out.
        timeout: seconds that a request may be silent.
        transport: for tests: takes the network's place.
        api_key: `mlp_…`, if the server asks for one; default `$MLP_API_KEY`.

    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        api_key: str | None = None,
    ) -> None:
        key = api_key or os.environ.get("MLP_API_KEY") or None
        url = base_url or os.environ.get("MLP_SERVICE_URL") or DEFAULT_URL
        self._connection = Connection(url, timeout, transport, key)
        self.jobs = Jobs(self._connection)
        self.models = Models(self._connection)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def base_url(self) -> str:
        return self._connection.base_url

    def presets(self) -> list[Preset]:
        return self._connection.ask(_Presets, "/v1/presets").data

    def curves(self, jobs: Sequence[JobHandle | str], format: PictureFormat = "png") -> bytes:
        """Draw the curves of several jobs in one picture."""
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return self._connection.fetch(f"/v1/curves.{format}", {"jobs": ",".join(ids)})

    def wait_all(
        self,
        jobs: Sequence[JobHandle],
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Wait until all these jobs have ended; see `mlp_client.jobs.wait_all`."""
        wait_all(jobs, progress, timeout)

    def sample(self, index: int, dataset: str = "mnist", split: str = "test") -> Sample:
        return self._connection.ask(Sample, f"/v1/datasets/{dataset}/{split}/{index}.json")

    def contact_sheet(
        self, dataset: str = "mnist", split: str = "test", limit: int = 100, offset: int = 0
    ) -> bytes:
        """Draw many images of a data set in one PNG."""
        params: dict[str, str | int] = {"split": split, "limit": limit, "offset": offset}
        return self._connection.fetch(f"/v1/datasets/{dataset}/samples.png", params)
