"""Evaluations of networks on whole sets, as methods of `client.models`."""

from typing import Literal, Unpack

from mlp_client import model_calls
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.errors import RefusedError
from mlp_client.evaluation_calls import TOO_LARGE
from mlp_client.evaluation_tasks import Evaluations
from mlp_client.evaluations import Comparison, Evaluation, Misread
from mlp_client.model_calls import Form, Split
from mlp_client.npy import Probabilities
from mlp_client.pictures import Picture, PictureFormat

Calibrate = Literal["none", "temperature"]
Share = Literal["none", "actual", "predicted"]
Order = Literal["confidence", "doubt", "index"]


class ModelEvaluations:
    """What networks say about whole sets of images.

    In all methods `dataset` is the name of a data set with images of the same shape and the same
    classes as that on which the network was trained, which is the default. They raise RefusedError
    if the data set differs, or if the network or the set is too large.
    """

    _connection: Connection

    def evaluation(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        bins: int | None = None,
        calibrate: Calibrate = "none",
        normalize: Form = "never",
        wait: bool = False,
        **options: Unpack[CallOptions],
    ) -> Evaluation:
        """Return what a network says about all images of a set, counted.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            bins: number of intervals of probability in the calibration, by default 15.
            calibrate: `temperature` also fits the temperature that makes probabilities more
                trustworthy, on other images than those that it is measured on.
            normalize: `auto` brings images into MNIST's form first, as `predict` does it.
            wait: if it is too large for one answer, queue it and wait until a worker has made it.
            options: `timeout` and `max_retries` of the request.

        Raises:
            EvaluationFailed: a worker could not make it; the message says why.

        """
        choice = {"bins": bins, "calibrate": calibrate, "normalize": normalize}
        asked = {"dataset": dataset, "split": split, **choice}
        try:
            return self._connection.send(model_calls.evaluation(ref, asked), **options)
        except RefusedError as exc:
            if not wait or exc.problem.code != TOO_LARGE:
                raise
        large = Evaluations(self._connection)
        task = large.submit(ref, split, dataset, normalize, **options)
        ref = model_calls.evaluated_network(large.wait(task.id))
        return self._connection.send(model_calls.evaluation(ref, asked), **options)

    def confusion(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        format: PictureFormat = "png",
        share: Share = "none",
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a picture of the confusion matrix: how often each class is read as each other.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            format: `png` or `svg`.
            share: `actual` shows shares of the images of each class in place of numbers, and
                `predicted` shares of those that are read as it.
            options: `timeout` and `max_retries` of the request.

        """
        asked = {"dataset": dataset, "split": split, "share": share}
        call = model_calls.evaluation_picture(ref, f"confusion.{format}", asked)
        return self._connection.send(call, **options)

    def reliability(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        format: PictureFormat = "png",
        bins: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a picture of how often a network is right, by the probability that it gives.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            format: `png` or `svg`.
            bins: number of intervals of probability, by default 15.
            options: `timeout` and `max_retries` of the request.

        """
        asked = {"dataset": dataset, "split": split, "bins": bins}
        call = model_calls.evaluation_picture(ref, f"reliability.{format}", asked)
        return self._connection.send(call, **options)

    def compare(
        self,
        ref: str,
        unlike: str,
        split: Split = "test",
        dataset: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Comparison:
        """Return how two networks differ on the same images, and whether it may be chance.

        Args:
            ref: the one network.
            unlike: the other network.
            split: the training, the test or the validation set.
            dataset: the data set.
            options: `timeout` and `max_retries` of the request.

        """
        asked = {"dataset": dataset, "split": split, "unlike": unlike}
        return self._connection.send(model_calls.comparison(ref, asked), **options)

    def misread(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        actual: str | None = None,
        predicted: str | None = None,
        unlike: str | None = None,
        order: Order = "confidence",
        limit: int = 60,
        after: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Misread:
        """Return images that a network misreads, the surest mistakes first.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            actual: only images of this class.
            predicted: only images that the network reads as this class.
            unlike: only images that this other network reads.
            order: `doubt` returns the least sure mistakes first, `index` the first rows.
            limit: the highest number of images.
            after: the index of the last image of the page before.
            options: `timeout` and `max_retries` of the request.

        """
        cell = {"actual": actual, "predicted": predicted, "unlike": unlike, "order": order}
        asked = {"dataset": dataset, "split": split, "limit": limit, "after": after, **cell}
        return self._connection.send(model_calls.misread(ref, asked), **options)

    def misread_picture(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        actual: str | None = None,
        predicted: str | None = None,
        limit: int = 60,
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a picture of images that a network misreads, each with how it is read.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            actual: only images of this class.
            predicted: only images that the network reads as this class.
            limit: the highest number of images.
            options: `timeout` and `max_retries` of the request.

        """
        cell = {"actual": actual, "predicted": predicted, "limit": limit}
        asked = {"dataset": dataset, "split": split, **cell}
        call = model_calls.evaluation_picture(ref, "misread.png", asked)
        return self._connection.send(call, **options)

    def set_probabilities(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Probabilities:
        """Return the probabilities of all classes for each image of a stored set.

        Args:
            ref: which network.
            split: the training, the test or the validation set.
            dataset: the data set.
            options: `timeout` and `max_retries` of the request.

        Returns:
            A float32 array (rows, classes).

        """
        asked = {"dataset": dataset, "split": split}
        return self._connection.send(model_calls.set_probabilities(ref, asked), **options)
