"""Evaluations that are too large for one answer, for asyncio."""

from typing import Unpack

from mlp_client import evaluation_calls
from mlp_client.async_connection import AsyncConnection
from mlp_client.calls import CallOptions
from mlp_client.documented_like import documented_like
from mlp_client.evaluation_records import EvaluationTask
from mlp_client.evaluation_tasks import Evaluations
from mlp_client.model_calls import Form, Split


@documented_like(Evaluations)
class AsyncEvaluations:
    """The large evaluations of a server, reached as `client.evaluations`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._connection.base_url}>"

    async def submit(
        self,
        ref: str = "latest",
        split: Split = "test",
        dataset: str | None = None,
        normalize: Form = "never",
        **options: Unpack[CallOptions],
    ) -> EvaluationTask:
        asked = {"model": ref, "split": split, "dataset": dataset, "normalize": normalize}
        return await self._connection.send(evaluation_calls.submit(asked), **options)

    async def get(self, task: str, **options: Unpack[CallOptions]) -> EvaluationTask:
        return await self._connection.send(evaluation_calls.get(task), **options)

    async def list(self, **options: Unpack[CallOptions]) -> list[EvaluationTask]:
        return (await self._connection.send(evaluation_calls.all_tasks(), **options)).data

    async def wait(self, task: str, timeout: float | None = None) -> EvaluationTask:
        looks = self._connection.send_each(evaluation_calls.until_ended(task, timeout))
        return [found async for found in looks][-1]

    async def delete(self, task: str, **options: Unpack[CallOptions]) -> None:
        await self._connection.send(evaluation_calls.delete(task), **options)
