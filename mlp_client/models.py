"""Trained networks: predict with them, download their weights, look at them."""

from typing import Any, Literal, overload

from mlp_client import images, npy
from mlp_client.connection import Connection
from mlp_client.errors import UnexpectedAnswer
from mlp_client.images import Image, Images
from mlp_client.npy import ArraySource, Probabilities
from mlp_client.predictions import Prediction, Predictions

Normalize = Literal["auto", "always", "never"]
"""Whether images are converted to MNIST's form: if necessary, in any case, or not at all."""
PictureFormat = Literal["png", "svg"]
WeightsFormat = Literal["safetensors", "npz", "json"]


class Models:
    """The networks of a server, reached as `client.models`.

    In all methods `ref` is the id of a job, or `latest`: the newest job that learned something.
    They raise NotFoundError if there is no such job, and RefusedError if it has no checkpoint yet.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @overload
    def predict(
        self,
        image: Image,
        ref: str = ...,
        top_k: int = ...,
        normalize: Normalize = ...,
        return_pixels: bool = ...,
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        image: Images,
        ref: str = ...,
        top_k: int = ...,
        normalize: Normalize = ...,
        return_pixels: bool = ...,
    ) -> list[Prediction]: ...
    def predict(
        self,
        image: Any,
        ref: str = "latest",
        top_k: int = 3,
        normalize: Normalize = "auto",
        return_pixels: bool = False,
    ) -> Prediction | list[Prediction]:
        """Predict which digit an image shows, or each image of a list, with one request.

        Args:
            image: a path, the bytes of a file, a Pillow image, an array of 28x28 or 784 numbers
                (integers 0 to 255, or floats 0 to 1), or a list of these.
            ref: which network.
            top_k: number of candidates to return for each image.
            normalize: whether to convert the images to MNIST's form first.
            return_pixels: also return the 28x28 grey values that the network was given.

        Returns:
            One prediction, or for a list one for each image. In a list, an image that can't be
            read has its `problem` set; a single one raises RefusedError.

        Raises:
            ImageUnusable: an image can't be sent.
            OSError: a file can't be read.

        """
        many = images.is_many(image)
        inputs = [images.as_input(item) for item in (image if many else [image])]
        body = {
            "inputs": inputs,
            "top_k": top_k,
            "normalize": normalize,
            "return_pixels": return_pixels,
        }
        path = f"/v1/models/{ref}/predict"
        answer = self._connection.request_record(Predictions, path, method="POST", json=body)
        if len(answer.predictions) != len(inputs):
            raise UnexpectedAnswer(f"{self._connection.base_url}{path}")
        return answer.predictions if many else answer.predictions[0]

    def predict_array(
        self,
        array: ArraySource,
        ref: str = "latest",
        top_k: int = 3,
        normalize: Normalize = "auto",
        return_pixels: bool = False,
    ) -> list[Prediction]:
        """Predict which digits the images of an array show, with a request for every 1000.

        All requests use the network that answered the first one. If its job is still training,
        later requests may use a newer checkpoint.

        Args:
            array: a NumPy array, or the path or the bytes of an `.npy` file: one image or any
                number, each 28x28 or 784 numbers, uint8 0 to 255 or float 0 to 1.
            ref: which network.
            top_k: number of candidates to return for each image.
            normalize: whether to convert the images to MNIST's form first.
            return_pixels: also return the 28x28 grey values that the network was given.

        Raises:
            OSError: the file can't be read.
            RefusedError: the array does not hold images.

        """
        options = {"top_k": top_k, "normalize": normalize, "return_pixels": return_pixels}
        predictions = []
        for part in npy.split(array):
            request, path = _array_request(part, options), f"/v1/models/{ref}/predict"
            answer = self._connection.request_record(Predictions, path, method="POST", **request)
            predictions += answer.predictions
            ref = answer.model  # a moment later, `latest` may mean another network
        return predictions

    def probabilities(
        self,
        array: ArraySource,
        ref: str = "latest",
        normalize: Normalize = "auto",
    ) -> Probabilities:
        """Return the probabilities of the digits 0 to 9 for the images of an array.

        This is the fastest way to get predictions for many images.

        Args:
            array: the images, as for `predict_array`.
            ref: which network.
            normalize: whether to convert the images to MNIST's form first.

        Returns:
            A float32 array (n, 10). If one of several images can't be read, its row is NaN.

        Raises:
            OSError: the file can't be read.
            RefusedError: the array does not hold images.

        """
        options, parts = {"normalize": normalize}, []
        for part in npy.split(array):
            request = _array_request(part, options, accept=npy.MEDIA_TYPE)
            response = self._connection.request("POST", f"/v1/models/{ref}/predict", **request)
            try:
                parts.append(npy.read_probabilities(response.content))
            except ValueError as error:
                raise UnexpectedAnswer(str(response.url)) from error
            ref = response.headers.get("Model", ref)
        return npy.concatenate(parts)

    def weights(self, ref: str = "latest", format: WeightsFormat = "safetensors") -> bytes:
        """Return the weights and biases of a network as a file.

        Args:
            ref: which network.
            format: `safetensors`, `npz` or `json`.

        """
        return self._connection.download(f"/v1/models/{ref}/weights.{format}")

    def picture(self, ref: str = "latest", layer: int = 1, format: PictureFormat = "png") -> bytes:
        """Return a picture of a layer's weights, with a tile for each unit.

        Args:
            ref: which network.
            layer: number of the layer, counted from 1.
            format: `png` or `svg`.

        """
        return self._connection.download(f"/v1/models/{ref}/layers/{layer}/weights.{format}")


def _array_request(
    array: bytes, options: dict[str, Any], accept: str = "application/json"
) -> dict[str, Any]:
    """Return the arguments of a request that sends an `.npy` file."""
    headers = {"Content-Type": npy.MEDIA_TYPE, "Accept": accept}
    return {"content": array, "headers": headers, "params": options}
