"""LoadedModel networks: ask them, look at their weights, take them home."""

from typing import Any, Literal, overload

from mlp_client import images, npy
from mlp_client.connection import Connection
from mlp_client.errors import UnexpectedAnswer
from mlp_client.images import Image, Images
from mlp_client.npy import Rows, Source
from mlp_client.predictions import Prediction, Predictions

Normalize = Literal["auto", "always", "never"]
PictureFormat = Literal["png", "svg"]
WeightsFormat = Literal["safetensors", "npz", "json"]


class Models:
    """`ref` is the id of a job, or `latest`: the one that succeeded last."""

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
        """Say which digit an image shows, or each of a list of images, in one request.

        Args:
            image: a path, bytes, Pillow image, array of 28x28 or 784 numbers, or a list of these.
            top_k: how many candidates to name.
            normalize: whether to bring the image into MNIST's form first.
            return_pixels: also return the 28x28 grey values that the network saw.

        Returns:
            One prediction, or for a list one each: there an image that can't be read has its
            `problem` set, while a single one raises RefusedError.

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
        predictions = self._connection.ask(Predictions, path, method="POST", json=body).predictions
        if len(predictions) != len(inputs):
            raise UnexpectedAnswer(path)
        return predictions if many else predictions[0]

    def predict_array(
        self,
        array: Source,
        ref: str = "latest",
        top_k: int = 3,
        normalize: Normalize = "auto",
        return_pixels: bool = False,
    ) -> list[Prediction]:
        """Say which digits the images of an array show: any number, 1000 in a request.

        One network answers for all, but one that still trains may learn between two requests.

        Args:
            array: a NumPy array, or the path or the bytes of an `.npy` file: one image or many,
                each 28x28 or 784 numbers, uint8 0-255 or float 0-1.
            ref: which network, as for the others.
            top_k: how many candidates to name.
            normalize: whether to bring the images into MNIST's form first.
            return_pixels: also return the 28x28 grey values that the network saw.

        """
        options = {"top_k": top_k, "normalize": normalize, "return_pixels": return_pixels}
        predictions = []
        for part in npy.in_parts(array):
            request, path = _about(part, options), f"/v1/models/{ref}/predict"
            answer = self._connection.ask(Predictions, path, method="POST", **request)
            predictions += answer.predictions
            ref = answer.model  # what is `latest` may be another a moment later
        return predictions

    def probabilities(
        self,
        array: Source,
        ref: str = "latest",
        normalize: Normalize = "auto",
    ) -> Rows:
        """Return the probabilities of the digits 0 to 9 for the images of an array: (n, 10).

        As `predict_array` takes them; nothing is faster for many. A row of NaN stands for an image
        among several that can't be read.
        """
        options, parts = {"normalize": normalize}, []
        for part in npy.in_parts(array):
            request = _about(part, options, npy.MEDIA_TYPE)
            response = self._connection.request("POST", f"/v1/models/{ref}/predict", **request)
            try:
                parts.append(npy.of_answer(response.content))
            except ValueError as error:
                raise UnexpectedAnswer(str(response.url)) from error
            ref = response.headers.get("Model", ref)
        return npy.joined(parts)

    def weights(self, ref: str = "latest", format: WeightsFormat = "safetensors") -> bytes:
        return self._connection.fetch(f"/v1/models/{ref}/weights.{format}")

    def picture(self, ref: str = "latest", layer: int = 1, format: PictureFormat = "png") -> bytes:
        """Draw a layer's weights, a tile for each unit; layers count from 1."""
        return self._connection.fetch(f"/v1/models/{ref}/layers/{layer}/weights.{format}")


def _about(array: bytes, options: dict[str, Any], accept: str = "application/json") -> Any:
    """Return the request that asks about an array."""
    headers = {"Content-Type": npy.MEDIA_TYPE, "Accept": accept}
    return {"content": array, "headers": headers, "params": options}
