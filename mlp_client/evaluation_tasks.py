"""Evaluations that are too large for one answer."""

from typing import Unpack

from mlp_client import evaluation_calls
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.evaluation_records import EvaluationTask
from mlp_client.model_calls import Form, Split


class Evaluations:
    """The large evaluations of a server, reached as `client.evaluations`.

    `client.models.evaluation(…, wait=True)` queues an evaluation if it is too large for one answer.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    def submit(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        normalize: Form = "never",
        **options: Unpack[CallOptions],
    ) -> EvaluationTask:
        """Queue an evaluation and return its state; one that is there already is returned.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set, by default the one on which the network was trained.
            normalize: `auto` brings images into MNIST's form first, as `predict` does it.
            options: `timeout` and `max_retries` of the request.

        """
        asked = {"model": ref, "split": split, "dataset": dataset, "normalize": normalize}
        return self._connection.send(evaluation_calls.submit(asked), **options)

    def get(self, task: str, **options: Unpack[CallOptions]) -> EvaluationTask:
        """Return the state of an evaluation.

        Raises:
            NotFoundError: there is none of this id.

        """
        return self._connection.send(evaluation_calls.get(task), **options)

    def list(self, **options: Unpack[CallOptions]) -> list[EvaluationTask]:
        """Return the newest evaluations that were queued, the newest first."""
        return self._connection.send(evaluation_calls.all_tasks(), **options).data

    def wait(self, task: str, timeout: float | None = None) -> EvaluationTask:
        """Wait until an evaluation has succeeded.

        Args:
            task: its id.
            timeout: longest time to wait, in seconds, rounded up to whole ones.

        Raises:
            EvaluationFailed: it can't be made; the message says why.
            WaitTimeout: the time is over; the evaluation goes on.
            NotFoundError: it has been deleted.

        """
        *_, ended = self._connection.send_each(evaluation_calls.until_ended(task, timeout))
        return ended

    def delete(self, task: str, **options: Unpack[CallOptions]) -> None:
        """Delete what a network said about a whole set, or stop asking it."""
        self._connection.send(evaluation_calls.delete(task), **options)
