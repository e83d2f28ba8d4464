"""Trained networks, for asyncio: the methods of `models`, with the same arguments and results."""

from typing import Any, Literal, Unpack, overload

from mlp_client import images, model_calls, npy, prediction_options
from mlp_client.async_connection import AsyncConnection
from mlp_client.async_model_evaluations import AsyncModelEvaluations
from mlp_client.calls import CallOptions
from mlp_client.documented_like import documented_like
from mlp_client.images import Image, Images
from mlp_client.model_calls import WeightsFormat
from mlp_client.models import Minus, Models
from mlp_client.npy import ArraySource, FloatArray, Probabilities
from mlp_client.pictures import Picture, PictureFormat
from mlp_client.prediction_options import Normalize, PredictionOptions
from mlp_client.predictions import Prediction
from mlp_client.records import Snapshot


@documented_like(Models)
class AsyncModels(AsyncModelEvaluations):
    """The networks of a server, reached as `client.models`; its methods are those of `Models`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    @overload
    async def predict(
        self, image: Image, ref: str = ..., **options: Unpack[PredictionOptions]
    ) -> Prediction: ...
    @overload
    async def predict(
        self, image: Images, ref: str = ..., **options: Unpack[PredictionOptions]
    ) -> list[Prediction]: ...
    async def predict(
        self, image: Any, ref: str = "latest", **options: Unpack[PredictionOptions]
    ) -> Prediction | list[Prediction]:
        parts, many = images.parts_of(image)
        asked, sending = prediction_options.divided(options)
        calls = model_calls.predict_images(parts, ref, asked, many=many)
        answers = [answer async for answer in self._connection.send_each(calls, **sending)]
        predictions = model_calls.flat(answers)
        return predictions if many else predictions[0]

    async def predict_array(
        self,
        array: ArraySource,
        ref: str = "latest",
        top_k: int = 3,
        normalize: Normalize = "auto",
        return_pixels: bool = False,
        **options: Unpack[CallOptions],
    ) -> list[Prediction]:
        wanted = prediction_options.predict_query(top_k, normalize, return_pixels)
        calls = model_calls.predict_array(npy.split(array), ref, wanted)
        answers = [answer async for answer in self._connection.send_each(calls, **options)]
        return model_calls.flat(answers)

    async def probabilities(
        self,
        array: ArraySource,
        ref: str = "latest",
        normalize: Normalize = "auto",
        **options: Unpack[CallOptions],
    ) -> Probabilities:
        calls = model_calls.probabilities(npy.split(array), ref, {"normalize": normalize})
        rows = [answer async for answer in self._connection.send_each(calls, **options)]
        return npy.concatenate([it.probabilities for it in rows])

    async def snapshots(
        self, ref: str = "latest", **options: Unpack[CallOptions]
    ) -> list[Snapshot]:
        return await self._connection.send(model_calls.snapshots(ref), **options)

    async def film(
        self,
        ref: str = "latest",
        layer: int = 1,
        units: int = 64,
        seconds: float = 6.0,
        minus: Literal["start"] | None = None,
        **options: Unpack[CallOptions],
    ) -> bytes:
        looks = {"layer": layer, "units": units, "seconds": seconds, "minus": minus}
        return await self._connection.send(model_calls.film(ref, looks), **options)

    async def weights(
        self,
        ref: str = "latest",
        format: WeightsFormat = "safetensors",
        **options: Unpack[CallOptions],
    ) -> bytes:
        return await self._connection.send(model_calls.weights(ref, format), **options)

    async def layer_weights(
        self,
        ref: str = "latest",
        layer: int = 1,
        units: int | None = None,
        offset: int = 0,
        minus: Minus | None = None,
        **options: Unpack[CallOptions],
    ) -> FloatArray:
        chosen = {"units": units, "offset": offset, "minus": minus}
        return await self._connection.send(
            model_calls.layer_array(ref, layer, "weights", chosen), **options
        )

    async def layer_biases(
        self,
        ref: str = "latest",
        layer: int = 1,
        minus: Minus | None = None,
        **options: Unpack[CallOptions],
    ) -> FloatArray:
        call = model_calls.layer_array(ref, layer, "biases", {"minus": minus})
        return await self._connection.send(call, **options)

    async def picture(
        self,
        ref: str = "latest",
        layer: int = 1,
        format: PictureFormat = "png",
        **options: Unpack[CallOptions],
    ) -> Picture:
        return await self._connection.send(model_calls.layer(ref, layer, format), **options)
