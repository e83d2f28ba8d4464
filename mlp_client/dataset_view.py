"""What is known about a data set without asking its server: the properties and look of handles."""

from collections.abc import Sequence

from mlp_client import dataset_calls
from mlp_client.dataset_records import DatasetReason, DatasetRecord, DatasetState


class DatasetView:
    """A data set as the server last described it.

    The properties return what the server last said; only methods send requests.

    Attributes:
        data: the data set as the server last described it; `refresh` updates it.

    """

    def __init__(self, data: DatasetRecord, server: str) -> None:
        self.data = data
        self._server = server

    @property
    def name(self) -> str:
        """What to give as `dataset` of a job."""
        return self.data.name

    @property
    def state(self) -> DatasetState:
        """Where it is between its first byte and its use."""
        return self.data.state

    @property
    def reason(self) -> DatasetReason | None:
        """Why it is in its state, if there is something to explain."""
        return self.data.reason

    @property
    def classes(self) -> Sequence[str]:
        """The names of its classes, in the order of their labels; none before it is ready."""
        return self.data.classes or []

    @property
    def url(self) -> str:
        """Address of the data set on its server."""
        return f"{self._server}{dataset_calls.path_of(self.name)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {_summary(self.data)}>"


def _summary(data: DatasetRecord) -> str:
    """Return a text such as `ready: 1000 + 100 rows, 10 classes`."""
    if data.state == DatasetState.FAILED and data.reason:
        return f"failed: {data.reason.message}"
    if data.state != DatasetState.READY or data.classes is None:
        return data.state.value
    return f"ready: {data.train_rows} + {data.test_rows} rows, {len(data.classes)} classes"
