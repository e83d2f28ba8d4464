"""Evaluations of networks on whole sets, for asyncio."""

from typing import Unpack

from mlp_client import model_calls
from mlp_client.async_connection import AsyncConnection
from mlp_client.async_evaluation_tasks import AsyncEvaluations
from mlp_client.calls import CallOptions
from mlp_client.documented_like import documented_like
from mlp_client.errors import RefusedError
from mlp_client.evaluation_calls import TOO_LARGE
from mlp_client.evaluations import Comparison, Evaluation, Misread
from mlp_client.model_calls import Form, Split
from mlp_client.model_evaluations import Calibrate, ModelEvaluations, Order, Share
from mlp_client.npy import Probabilities
from mlp_client.pictures import Picture, PictureFormat


@documented_like(ModelEvaluations)
class AsyncModelEvaluations:
    """What networks say about whole sets; its methods are those of `ModelEvaluations`."""

    _connection: AsyncConnection

    async def evaluation(
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
        choice = {"bins": bins, "calibrate": calibrate, "normalize": normalize}
        asked = {"dataset": dataset, "split": split, **choice}
        try:
            return await self._connection.send(model_calls.evaluation(ref, asked), **options)
        except RefusedError as exc:
            if not wait or exc.problem.code != TOO_LARGE:
                raise
        large = AsyncEvaluations(self._connection)
        task = await large.submit(ref, split, dataset, normalize, **options)
        ref = model_calls.evaluated_network(await large.wait(task.id))
        return await self._connection.send(model_calls.evaluation(ref, asked), **options)

    async def confusion(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        format: PictureFormat = "png",
        share: Share = "none",
        **options: Unpack[CallOptions],
    ) -> Picture:
        asked = {"dataset": dataset, "split": split, "share": share}
        call = model_calls.evaluation_picture(ref, f"confusion.{format}", asked)
        return await self._connection.send(call, **options)

    async def reliability(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        format: PictureFormat = "png",
        bins: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Picture:
        asked = {"dataset": dataset, "split": split, "bins": bins}
        call = model_calls.evaluation_picture(ref, f"reliability.{format}", asked)
        return await self._connection.send(call, **options)

    async def compare(
        self,
        ref: str,
        unlike: str,
        split: Split = "test",
        dataset: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Comparison:
        asked = {"dataset": dataset, "split": split, "unlike": unlike}
        return await self._connection.send(model_calls.comparison(ref, asked), **options)

    async def misread(
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
        cell = {"actual": actual, "predicted": predicted, "unlike": unlike, "order": order}
        asked = {"dataset": dataset, "split": split, "limit": limit, "after": after, **cell}
        return await self._connection.send(model_calls.misread(ref, asked), **options)

    async def misread_picture(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        actual: str | None = None,
        predicted: str | None = None,
        limit: int = 60,
        **options: Unpack[CallOptions],
    ) -> Picture:
        cell = {"actual": actual, "predicted": predicted, "limit": limit}
        asked = {"dataset": dataset, "split": split, **cell}
        call = model_calls.evaluation_picture(ref, "misread.png", asked)
        return await self._connection.send(call, **options)

    async def set_probabilities(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Probabilities:
        asked = {"dataset": dataset, "split": split}
        return await self._connection.send(model_calls.set_probabilities(ref, asked), **options)
