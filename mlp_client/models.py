"""Trained networks: predict with them, download their weights, look at them."""

from typing import Any, Literal, Unpack, overload

from mlp_client import images, model_calls, npy, prediction_options
from mlp_client.calls import CallOptions
from mlp_client.connection import Connection
from mlp_client.images import Image, Images
from mlp_client.model_calls import WeightsFormat
from mlp_client.model_evaluations import ModelEvaluations
from mlp_client.npy import ArraySource, FloatArray, Probabilities
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.prediction_options import Normalize, PredictionOptions
from mlp_client.predictions import Prediction
from mlp_client.records import Snapshot

Minus = Literal["start"]


class Models(ModelEvaluations):
    """The networks of a server, reached as `client.models`.

    In all methods `ref` is the id of a job, or `latest`: the newest job that learned something.
    `@` names the network after an epoch: `latest@12`, `latest@best`, or `latest@0` before training.
    They raise NotFoundError if there is no such job, and RefusedError if it has no checkpoint yet.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    @overload
    def predict(
        self, image: Image, ref: str = ..., **options: Unpack[PredictionOptions]
    ) -> Prediction: ...
    @overload
    def predict(
        self, image: Images, ref: str = ..., **options: Unpack[PredictionOptions]
    ) -> list[Prediction]: ...
    def predict(
        self, image: Any, ref: str = "latest", **options: Unpack[PredictionOptions]
    ) -> Prediction | list[Prediction]:
        """Predict to which class an image belongs, or each image of a list.

        A long list is sent in several requests, which all use the network that answered the first
        one. If Pillow is installed, pictures of more than a megapixel are sent smaller.

        Args:
            image: a path, a data URL, the bytes of a file, an open file, a Pillow image, an array
                (h, w) or (h, w, 3) of numbers (integers 0 to 255, or floats 0 to 1), 784 numbers,
                or a list of these. For a network that was trained on a table, a mapping with a
                number for each column.
            ref: which network.
            options: those of `mlp_client.prediction_options.PredictionOptions`, such as `top_k`,
                and `timeout` and `max_retries` of each request.

        Returns:
            One prediction, or for a list one for each image. In a list, an image that can't be
            read has its `problem` set; a single one raises RefusedError.

        Raises:
            ImageUnusable: an image can't be sent.
            OSError: a file can't be read.

        """
        parts, many = images.parts_of(image)
        asked, sending = prediction_options.divided(options)
        calls = model_calls.predict_images(parts, ref, asked, many=many)
        predictions = model_calls.flat(list(self._connection.send_each(calls, **sending)))
        return predictions if many else predictions[0]

    def predict_array(
        self,
        array: ArraySource,
        ref: str = "latest",
        top_k: int = 3,
        normalize: Normalize = "auto",
        return_pixels: bool = False,
        **options: Unpack[CallOptions],
    ) -> list[Prediction]:
        """Predict to which classes the images of an array belong, with a request for every 1000.

        All requests use the network that answered the first one. If its job is still training,
        later requests may use a newer checkpoint.

        Args:
            array: a NumPy array, or the path or the bytes of an `.npy` file: one image or any
                number, each in the shape of the network's data set, such as 28x28, or all its
                numbers in a row; uint8 0 to 255 or float 0 to 1. Of a table, rows of its columns.
            ref: which network.
            top_k: number of candidates to return for each image.
            normalize: whether to convert the images to the form of the network's data set first.
            return_pixels: also return the pixels that the network was given.
            options: `timeout` and `max_retries` of each request.

        Raises:
            OSError: the file can't be read.
            RefusedError: the array does not hold images.

        """
        wanted = prediction_options.predict_query(top_k, normalize, return_pixels)
        calls = model_calls.predict_array(npy.split(array), ref, wanted)
        return model_calls.flat(list(self._connection.send_each(calls, **options)))

    def probabilities(
        self,
        array: ArraySource,
        ref: str = "latest",
        normalize: Normalize = "auto",
        **options: Unpack[CallOptions],
    ) -> Probabilities:
        """Return the probabilities of all classes for the images of an array.

        This is the fastest way to get predictions for many images.

        Args:
            array: the images, as for `predict_array`.
            ref: which network.
            normalize: whether to convert the images to the form of the network's data set first.
            options: `timeout` and `max_retries` of each request.

        Returns:
            A float32 array (n, classes). If one of several images can't be read, its row is NaN.

        Raises:
            OSError: the file can't be read.
            RefusedError: the array does not hold images.

        """
        calls = model_calls.probabilities(npy.split(array), ref, {"normalize": normalize})
        rows = list(self._connection.send_each(calls, **options))
        return npy.concatenate([it.probabilities for it in rows])

    def snapshots(self, ref: str = "latest", **options: Unpack[CallOptions]) -> list[Snapshot]:
        """Return the epochs whose networks a job keeps, to be named as `ref@epoch`.

        Args:
            ref: which job.
            options: `timeout` and `max_retries` of the request.

        """
        return self._connection.send(model_calls.snapshots(ref), **options)

    def film(
        self,
        ref: str = "latest",
        layer: int = 1,
        units: int = 64,
        seconds: float = 6.0,
        minus: Literal["start"] | None = None,
        **options: Unpack[CallOptions],
    ) -> bytes:
        """Return a film of a layer's weights through the epochs that are kept: an animated WebP.

        Args:
            ref: which job.
            layer: number of the layer, counted from 1.
            units: the highest number of units.
            seconds: how long the film takes.
            minus: `start` shows only what was learned, without the weights before training.
            options: `timeout` and `max_retries` of the request.

        """
        looks = {"layer": layer, "units": units, "seconds": seconds, "minus": minus}
        return self._connection.send(model_calls.film(ref, looks), **options)

    def weights(
        self,
        ref: str = "latest",
        format: WeightsFormat = "safetensors",
        **options: Unpack[CallOptions],
    ) -> bytes:
        """Return the weights and biases of a network as a file.

        Args:
            ref: which network.
            format: `safetensors`, `npz` or `json`.
            options: `timeout` and `max_retries` of the request.

        """
        return self._connection.send(model_calls.weights(ref, format), **options)

    def layer_weights(
        self,
        ref: str = "latest",
        layer: int = 1,
        units: int | None = None,
        offset: int = 0,
        minus: Minus | None = None,
        **options: Unpack[CallOptions],
    ) -> FloatArray:
        """Return the weights of a layer: float32 (units, inputs).

        Args:
            ref: which network.
            layer: number of the layer, counted from 1.
            units: largest number of units; by default all of the layer.
            offset: the first unit, counted from 0.
            minus: `start` subtracts the weights before training.
            options: `timeout` and `max_retries` of the request.

        Raises:
            RefusedError: another version of NumPy made the weights before training.

        """
        chosen = {"units": units, "offset": offset, "minus": minus}
        return self._connection.send(
            model_calls.layer_array(ref, layer, "weights", chosen), **options
        )

    def layer_biases(
        self,
        ref: str = "latest",
        layer: int = 1,
        minus: Minus | None = None,
        **options: Unpack[CallOptions],
    ) -> FloatArray:
        """Return the biases of a layer: float32 (units,). See `layer_weights`."""
        call = model_calls.layer_array(ref, layer, "biases", {"minus": minus})
        return self._connection.send(call, **options)

    def picture(
        self,
        ref: str = "latest",
        layer: int = 1,
        format: PictureFormat = "png",
        **options: Unpack[CallOptions],
    ) -> Picture:
        """Return a picture of a layer's weights, with a tile for each unit.

        Args:
            ref: which network.
            layer: number of the layer, counted from 1.
            format: `png` or `svg`.
            options: `timeout` and `max_retries` of the request.

        """
        return self._connection.send(model_calls.layer(ref, layer, format), **options)
