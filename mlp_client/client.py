"""The client of one server: its jobs, its networks and its data sets."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Unpack

import httpx2

from mlp_client import server_calls
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.connection_settings import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT,
    settings_of,
)
from mlp_client.connection_settings import DEFAULT_URL as DEFAULT_URL
from mlp_client.datasets import Datasets
from mlp_client.evaluation_tasks import Evaluations
from mlp_client.jobs import JobHandle, Jobs, wait_all
from mlp_client.models import Models
from mlp_client.npy import ByteArray
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.records import EpochColumns
from mlp_client.server_calls import Misfit, Preset, Sample
from mlp_client.service_events import ServiceEvent
from mlp_client.system_record import System
from mlp_client.watch import listen_to_all


class Client:
    """A client of one server. It may be shared between threads.

    Attributes:
        datasets: send and describe data sets.
        evaluations: queue evaluations that are too large for one answer.
        jobs: submit, find and list jobs.
        models: predict with trained networks, and download their weights.

    Every method that sends a request takes `timeout` and `max_retries` for that request, and may
    raise:
        ConnectionFailed: the server did not answer.
        UnexpectedAnswer: another program answered.
        KeyRefused: the server requires an API key, or another one.
        ApiError: the server refused the request or failed; the subclass says which.

    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx2.BaseTransport | None = None,
        api_key: str | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        """Create a client; nothing is sent yet.

        Args:
            base_url: address of the server; `http://` may be omitted, and `unix:/path` is a UNIX
                socket. Defaults to `$MLP_SERVICE_URL`, then to http://127.0.0.1:8000.
            timeout: seconds to wait for the next byte of a response.
            transport: replaces the network, for tests.
            api_key: `mlp_…`, if the server requires one. Defaults to `$MLP_API_KEY`.
            max_retries: how often a request is repeated if the connection fails or the server is
                busy.

        Raises:
            AddressUnusable: `base_url` is not the address of a server.
            KeyUnusable: the text can't be an API key.
            ProxyUnusable: the environment names a proxy that can't be used.

        """
        settings = settings_of(base_url, timeout, max_retries, api_key)
        self._connection = Connection(settings, transport)
        self.datasets = Datasets(self._connection)
        self.evaluations = Evaluations(self._connection)
        self.jobs = Jobs(self._connection)
        self.models = Models(self._connection)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

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

    def system(self, **options: Unpack[CallOptions]) -> System:
        """Return what the server is, what it is doing, and what this client may do there.

        Without an API key, a server that requires one only tells its version.
        """
        return self._connection.send(server_calls.system(), **options)

    def events(self, after: int | None = None) -> Iterator[ServiceEvent]:
        """Yield what happens to all jobs that the key sees, without an end.

        The first event, `hello`, says whether the stream continues where the client was (`reset`).
        A connection that breaks is opened again behind the last event.

        Args:
            after: `cursor` of the last event that is known; None for what happens from now on.

        Raises:
            KeyRefused: the server requires an API key, or the key has ended.
            ConnectionFailed: the server was unreachable for a minute.

        """
        return listen_to_all(self._connection, after)

    def presets(self, **options: Unpack[CallOptions]) -> list[Preset]:
        """Return the presets that the server knows."""
        return self._connection.send(server_calls.presets(), **options).data

    def curves(
        self,
        jobs: Sequence[JobHandle | str],
        format: PictureFormat = "png",
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return the learning curves of several jobs in one picture.

        Args:
            jobs: handles or ids.
            format: `png` or `svg`.
            options: `timeout` and `max_retries` of the request.

        Raises:
            NotFoundError: there is no such job.

        """
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return self._connection.send(server_calls.curves(ids, format), **options)

    def epochs(
        self,
        jobs: Sequence[JobHandle | str],
        after: int = 0,
        points: int = 1000,
        **options: Unpack[CallOptions],
    ) -> dict[str, EpochColumns]:
        """Return the epochs of up to 64 jobs as columns, by the ids of the jobs.

        Jobs that do not exist are left out.

        Args:
            jobs: handles or ids.
            after: number of the last epoch that is already known.
            points: largest number of epochs of each job; of more, the most telling ones remain.
            options: `timeout` and `max_retries` of the request.

        """
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        return self._connection.send(server_calls.epochs(ids, after, points), **options).data

    def wait_all(
        self,
        jobs: Sequence[JobHandle],
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        """Wait until all these jobs have ended; see `mlp_client.wait_all`."""
        wait_all(jobs, progress, timeout)

    def sample(
        self,
        index: int,
        dataset: str = "mnist",
        split: str = "test",
        **options: Unpack[CallOptions],
    ) -> Sample:
        """Return one image of a data set with its label.

        Args:
            index: position in the data set, counted from 0.
            dataset: name of the data set.
            split: `train` or `test`.
            options: `timeout` and `max_retries` of the request.

        Raises:
            NotFoundError: there is no such data set or image.

        """
        return self._connection.send(server_calls.sample(dataset, split, index), **options)

    def samples(
        self,
        indices: Iterable[int] | None = None,
        label: int | None = None,
        limit: int = 50,
        offset: int = 0,
        dataset: str = "mnist",
        split: str = "test",
        **options: Unpack[CallOptions],
    ) -> ByteArray:
        """Return images of a data set as an array; NumPy must be installed.

        Args:
            indices: positions of up to 400 images, in the wanted order, instead of a page.
            label: only images of this class.
            limit: largest number of images, at most 400.
            offset: the first image, counted from 0; among those of the class if there is `label`.
            dataset: name of the data set.
            split: `train` or `test`.
            options: `timeout` and `max_retries` of the request.

        Returns:
            A uint8 array (n, 28, 28): grey values, 0 is the background.

        Raises:
            NotFoundError: there is no such data set, class or image.
            ValueError: `indices` is empty.

        """
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        return self._connection.send(server_calls.samples(dataset, split, chosen), **options)

    def labels(
        self, dataset: str = "mnist", split: str = "test", **options: Unpack[CallOptions]
    ) -> ByteArray:
        """Return the labels of all images of a data set as a uint8 array (n,), in their order.

        Args:
            dataset: name of the data set.
            split: `train` or `test`.
            options: `timeout` and `max_retries` of the request.

        Raises:
            NotFoundError: there is no such data set.

        """
        return self._connection.send(server_calls.labels(dataset, split), **options)

    def contact_sheet(
        self,
        dataset: str = "mnist",
        split: str | None = None,
        limit: int = 100,
        offset: int = 0,
        label: int | None = None,
        indices: Iterable[int] | None = None,
        misfit: Misfit | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a PNG that shows many images of a data set.

        Args:
            dataset: name of the data set.
            split: `train`, `validation` or `test`, which is the default; with `misfit`, all are.
            limit: number of images.
            offset: position of the first image, counted from 0.
            label: only images of this class.
            indices: positions of the images, instead of a page.
            misfit: only images that the report doubts for this reason, each before the one that
                it equals.
            options: `timeout` and `max_retries` of the request.

        Raises:
            NotFoundError: there is no such data set, class or image.
            ValueError: `indices` is empty.

        """
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        call = server_calls.contact_sheet(dataset, split, chosen, misfit)
        return self._connection.send(call, **options)
