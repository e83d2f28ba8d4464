"""The client of one server: its jobs, its networks and its data sets."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx2
from pydantic import Field

from mlp_client.connection import Connection
from mlp_client.jobs import JobHandle, Jobs, wait_all
from mlp_client.models import Models, PictureFormat
from mlp_client.records import Record

DEFAULT_URL = "http://127.0.0.1:8000"


class Preset(Record):
    """A named combination of spec fields."""

    name: str = Field(description="Name, to be given as `preset`.")
    description: str = Field(description="What it trains, and what accuracy to expect.")
    spec: dict[str, Any] = Field(description="The whole spec that the preset stands for.")


class Sample(Record):
    """A labelled image of a data set."""

    index: int = Field(description="Position in the data set, counted from 0.")
    label: int = Field(description="The digit that the image shows.")
    pixels: list[list[int]] = Field(description="28x28 grey values, 0 to 255.")


class _Presets(Record):
    data: list[Preset]


class Client:
    """A client of one server. It may be shared between threads.

    Attributes:
        jobs: submit, find and list jobs.
        models: predict with trained networks, and download their weights.

    Every method that sends a request may raise:
        ConnectionFailed: the server did not answer.
        UnexpectedAnswer: another program answered.
        KeyRefused: the server requires an API key, or another one.
        ApiError: the server refused the request or failed; the subclass says which.

    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        api_key: str | None = None,
    ) -> None:
        """Create a client; nothing is sent yet.

        Args:
            base_url: address of the server; `http://` may be omitted. Defaults to
                `$MLP_SERVICE_URL`, then to http://127.0.0.1:8000.
            timeout: seconds to wait for the next byte of a response.
            transport: replaces the network, for tests.
            api_key: `mlp_…`, if the server requires one. Defaults to `$MLP_API_KEY`.

        Raises:
            KeyUnusable: the text can't be an API key.

        """
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
        """Close all connections. The client can't be used afterwards."""
        self._connection.close()

    @property
    def base_url(self) -> str:
        """Address of the server, without a slash at the end."""
        return self._connection.base_url

    def presets(self) -> list[Preset]:
        """Return the presets that the server knows."""
        return self._connection.request_record(_Presets, "/v1/presets").data

    def curves(self, jobs: Sequence[JobHandle | str], format: PictureFormat = "png") -> bytes:
        """Return the learning curves of several jobs in one picture.

        Args:
            jobs: handles or ids.
            format: `png` or `svg`.

        Raises:
            NotFoundError: there is no such job.

        """
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return self._connection.download(f"/v1/curves.{format}", {"jobs": ",".join(ids)})

    def wait_all(
        self,
        jobs: Sequence[JobHandle],
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Wait until all these jobs have ended; see `mlp_client.wait_all`."""
        wait_all(jobs, progress, timeout)

    def sample(self, index: int, dataset: str = "mnist", split: str = "test") -> Sample:
        """Return one image of a data set with its label.

        Args:
            index: position in the data set, counted from 0.
            dataset: name of the data set.
            split: `train` or `test`.

        Raises:
            NotFoundError: there is no such data set or image.

        """
        path = f"/v1/datasets/{dataset}/{split}/{index}.json"
        return self._connection.request_record(Sample, path)

    def contact_sheet(
        self, dataset: str = "mnist", split: str = "test", limit: int = 100, offset: int = 0
    ) -> bytes:
        """Return a PNG that shows many images of a data set.

        Args:
            dataset: name of the data set.
            split: `train` or `test`.
            limit: number of images.
            offset: position of the first image, counted from 0.

        Raises:
            NotFoundError: there is no such data set.

        """
        params: dict[str, str | int] = {"split": split, "limit": limit, "offset": offset}
        return self._connection.download(f"/v1/datasets/{dataset}/samples.png", params)
