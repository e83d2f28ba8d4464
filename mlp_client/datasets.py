"""Data sets: send files or arrays, wait for their check, read what was found in them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Unpack

from mlp_client import dataset_calls, images, server_calls, watch
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.dataset_fields import (
    DatasetFields,
    DerivationFields,
    UploadFields,
    arrays_and_options,
)
from mlp_client.dataset_progress import display, show_record, shown
from mlp_client.dataset_records import DatasetRecord, DatasetReport, DatasetState
from mlp_client.dataset_view import DatasetView
from mlp_client.errors import DatasetFailed
from mlp_client.images import Image
from mlp_client.model_calls import Split
from mlp_client.npy import ByteArray
from mlp_client.pictures import Picture
from mlp_client.server_calls import Misfit
from mlp_client.uploads import Source, opened


class DatasetHandle(DatasetView):
    """A data set on the server.

    The properties return what the server last said; only methods send requests.

    Attributes:
        data: the data set as the server last described it; `refresh` updates it.

    """

    def __init__(self, connection: Connection, data: DatasetRecord) -> None:
        super().__init__(data, connection.url)
        self._connection = connection

    def refresh(self, **options: Unpack[CallOptions]) -> "DatasetHandle":
        """Request the data set again and return this handle, up to date.

        Raises:
            NotFoundError: the data set has been deleted.

        """
        self.data = self._connection.send(dataset_calls.get(self.name), **options)
        return self

    def wait(self, progress: bool | None = None, timeout: float | None = None) -> "DatasetHandle":
        """Wait until the data set is checked and return this handle, up to date.

        One that still collects samples is returned as it is.

        Args:
            progress: True shows the progress, False does not; None shows it on a terminal or in a
                notebook.
            timeout: longest time to wait, in seconds.

        Raises:
            DatasetFailed: the files can't become a data set; the message says what is wrong where.
            WaitTimeout: the time is over; the check goes on.
            NotFoundError: the data set has been deleted.

        """
        looks = self._connection.send_each(dataset_calls.until_resting(self.data, timeout))
        with display(self.name, progress) as show:
            for self.data in looks:
                show_record(show, self.data)
        if self.state == DatasetState.FAILED:
            raise DatasetFailed(self.data, self.report())
        return self

    def events(self) -> Iterator[DatasetRecord]:
        """Yield the record of the data set as it is now and after each change.

        The last one is that of a data set that is ready or has failed, or is collecting samples.

        Raises:
            NotFoundError: the data set has been deleted.
            ConnectionFailed: the server could not be reached for more than a minute.

        """
        for data in watch.listen_to_set(self._connection, self.name):
            self.data = data
            yield data

    def report(self, **options: Unpack[CallOptions]) -> DatasetReport:
        """Return what was found in the files, what was left out, and what is doubtful.

        There is a report of a set that has failed, too.

        Raises:
            NotFoundError: the data set has been deleted.

        """
        return self._connection.send(dataset_calls.report(self.name), **options)

    def samples(
        self,
        indices: Iterable[int] | None = None,
        label: int | None = None,
        limit: int = 50,
        offset: int = 0,
        split: Split = "test",
        **options: Unpack[CallOptions],
    ) -> ByteArray:
        """Return images of the data set as an array; see `Client.samples`."""
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        return self._connection.send(server_calls.samples(self.name, split, chosen), **options)

    def labels(self, split: Split = "test", **options: Unpack[CallOptions]) -> ByteArray:
        """Return the labels of all rows as a uint8 array (n,), in their order."""
        return self._connection.send(server_calls.labels(self.name, split), **options)

    def contact_sheet(
        self,
        split: Split | None = None,
        limit: int = 100,
        offset: int = 0,
        label: int | None = None,
        indices: Iterable[int] | None = None,
        misfit: Misfit | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a PNG that shows many images of the data set; see `Client.contact_sheet`."""
        chosen = server_calls.chosen_samples(indices, label, limit, offset)
        call = server_calls.contact_sheet(self.name, split, chosen, misfit)
        return self._connection.send(call, **options)

    def delete(self, force: bool = False, **options: Unpack[CallOptions]) -> None:
        """Delete the data set.

        Args:
            force: delete it although there are networks that were trained on it. They still
                predict, and can no longer be evaluated.
            options: `timeout` and `max_retries` of the request.

        Raises:
            RefusedError: a job needs it, or a network was trained on it.

        """
        self._connection.send(dataset_calls.delete(self.name, force), **options)


class Datasets:
    """The data sets of a server, reached as `client.datasets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    def create(
        self,
        name: str,
        source: Source | None = None,
        *,
        progress: bool | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        **fields: Unpack[UploadFields],
    ) -> DatasetHandle:
        """Send files or arrays that are to become a data set; `wait` waits for their check.

            client.datasets.create("phone", "photos/", normalize=True, split={"test": 0.25}).wait()
            client.datasets.create("halves", x_train=images, y_train=labels)

        Files are read while they are sent, so that they may be larger than the memory. To send the
        same files again under their name changes nothing.

        Args:
            name: what to give as `dataset` of a job: lower-case letters, digits, `.`, `_` and `-`.
            source: a file; a folder, which is sent as a zip, or file by file if it has those of
                MNIST's format; or several files that belong together.
            progress: whether to show how much is sent; see `DatasetHandle.wait`.
            timeout: seconds to wait for the next byte of the response.
            max_retries: how often the request is repeated.
            fields: the options of `mlp_client.dataset_options.DatasetOptions`; and in place of
                `source` the arrays of `mlp_client.dataset_fields.UploadFields`.

        Raises:
            DatasetUnusable: there is nothing to send, or an array is none of numbers or texts.
            RefusedError: the name is taken, an option is invalid, or there is no room for the set.
            OSError: a file can't be read.

        """
        arrays, options = arrays_and_options(fields)
        with opened(source, arrays) as files, display(name, progress) as show:
            call = dataset_calls.create(name, files, options, lambda body: shown(body, show))
            return DatasetHandle(
                self._connection, self._connection.send(call, timeout, max_retries)
            )

    def derive(
        self,
        name: str,
        source: str,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[DerivationFields],
    ) -> DatasetHandle:
        """Make a data set of one that is ready; `wait` waits for its check.

            client.datasets.derive("mnist-small", "mnist", rows=100).wait()
            client.datasets.derive("three-or-eight", "mnist", classes=["3", "8"])

        The images stay as they are. To ask for the same again changes nothing.

        Args:
            name: see `create`.
            source: the data set that is there, by its name.
            timeout: seconds to wait for the next byte of the response.
            max_retries: how often the request is repeated.
            options: `split`, to divide the rows anew; `classes` to keep, in their new order;
                `rows`, at most so many training rows of each class, drawn by `seed`; and
                `description`, `license` and `attribution`.

        Raises:
            RefusedError: the name is taken, or the source is not there or lacks a class.

        """
        call = dataset_calls.derive(name, {"dataset": source, **options})
        return DatasetHandle(self._connection, self._connection.send(call, timeout, max_retries))

    def add_sample(
        self, name: str, image: Image, label: str, **options: Unpack[CallOptions]
    ) -> DatasetHandle:
        """Add a picture with its label to a data set that is being collected; return the set.

            client.datasets.add_sample("corrections", "seven.png", "7")
            client.datasets.freeze("corrections", base="mnist").wait()

        The first sample creates the set.

        Args:
            name: see `create`.
            image: as for `Models.predict`.
            label: the name of its class.
            options: `timeout` and `max_retries` of the request.

        Raises:
            ImageUnusable: the image is of a type that can't be sent.
            RefusedError: the set is frozen or full, or the image can't be read.

        """
        call = dataset_calls.add_sample(name, images.single(image), label)
        return DatasetHandle(self._connection, self._connection.send(call, **options))

    def delete_sample(self, name: str, number: int, **options: Unpack[CallOptions]) -> None:
        """Take back the last sample of a data set that is being collected.

            kept = client.datasets.add_sample("corrections", "seven.png", "1")
            client.datasets.delete_sample("corrections", kept.data.samples)

        With its only sample, the set is deleted.

        Args:
            name: the data set.
            number: that of the last sample, counted from 1.
            options: `timeout` and `max_retries` of the request.

        Raises:
            NotFoundError: there is no such data set, or the sample is not its last one.
            RefusedError: the set is frozen, or was sent as files.

        """
        self._connection.send(dataset_calls.delete_sample(name, number), **options)

    def freeze(
        self,
        name: str,
        base: str | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[DatasetFields],
    ) -> DatasetHandle:
        """Make a data set of the samples that were added; `wait` waits for its check.

        If the check fails, the samples are kept, and can be frozen with other options.

        Args:
            name: the data set.
            base: a data set to whose training rows the samples are added; else they are a set by
                themselves.
            timeout: seconds to wait for the next byte of the response.
            max_retries: how often the request is repeated.
            options: those of `mlp_client.dataset_options.DatasetOptions`; with `base` these are
                `classes`, `description`, `license` and `attribution`.

        Raises:
            NotFoundError: there is no such data set.
            RefusedError: it was sent as files, or an option is invalid.

        """
        call = dataset_calls.freeze(name, base, options)
        return DatasetHandle(self._connection, self._connection.send(call, timeout, max_retries))

    def get(self, name: str, **options: Unpack[CallOptions]) -> DatasetHandle:
        """Return the data set with this name.

        Raises:
            NotFoundError: there is no such data set.

        """
        return DatasetHandle(
            self._connection, self._connection.send(dataset_calls.get(name), **options)
        )

    def list(self, **options: Unpack[CallOptions]) -> Sequence[DatasetHandle]:
        """Return all data sets, those that are part of the service too."""
        found = self._connection.send(dataset_calls.all_sets(), **options).data
        return [DatasetHandle(self._connection, data) for data in found]
