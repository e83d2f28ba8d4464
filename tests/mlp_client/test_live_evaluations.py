"""Evaluations that are too large for one answer, with both clients and the real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from mlp_client import AsyncClient, Client, NotFoundError
from tests.conftest import QUICK
from tests.support.server_process import Server, eventually


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    """A server with a network, which answers no evaluation at once."""
    data_dir = tmp_path_factory.mktemp("small") / "data"
    server = Server(data_dir, datasets_dir, MLP_MAX_EVALUATION_FLOPS="1e6").start()
    server.wait(server.submit(**QUICK), "succeeded")
    yield server
    server.stop()


def test_both_clients_wait_for_a_worker_whose_figures_are_those_of_the_job(small: Server) -> None:
    with Client(small.url) as client:
        job = next(iter(client.jobs.list()))
        found = client.models.evaluation(job.id, wait=True)
        last = job.epochs()[-1]
        assert (found.loss, found.accuracy) == (last.test_loss, last.test_accuracy), "bit for bit"
        [task] = client.evaluations.list()
        assert (task.state, task.model, task.rows) == ("succeeded", job.id, 10_000)
        assert client.evaluations.submit(job.id) == task
        assert client.evaluations.get(task.id) == client.evaluations.wait(task.id) == task

    async def use() -> None:
        async with AsyncClient(small.url) as other:
            assert (await other.models.evaluation(job.id, wait=True)).loss == found.loss
            assert await other.evaluations.list() == [task]
            assert await other.evaluations.submit(job.id) == task
            assert await other.evaluations.get(task.id) == task
            await other.evaluations.delete(task.id)
            with pytest.raises(NotFoundError):
                await other.evaluations.wait(task.id)

    asyncio.run(use())


def test_an_evaluation_is_there_under_its_address_when_the_job_has_trained_on(
    small: Server,
) -> None:
    job = small.submit(preset="linear", epochs=400)

    def newest() -> str:
        answer = httpx2.get(f"{small.url}/v1/models/{job}/layers/1/biases.npy")
        return answer.headers.get("Checkpoint-SHA256", "")

    with Client(small.url) as client:
        eventually(lambda: client.jobs.get(job).progress.epochs_done >= 2, "two epochs", 60)
        before = eventually(newest, "a checkpoint")
        task = client.evaluations.submit(job)
        client.evaluations.wait(task.id)
        eventually(lambda: newest() != before, "another checkpoint", 60)
        assert client.jobs.get(job).state == "running"
        found = httpx2.get(small.url + task.links.evaluation).json()
        assert found["checkpoint_sha256"] == task.checkpoint_sha256
        assert task.links.evaluation == f"/v1/models/{job}@{found['epochs_done']}/evaluation"
        record = next(
            it for it in client.jobs.get(job).epochs() if it.epoch == found["epochs_done"]
        )
        assert (found["loss"], found["accuracy"]) == (record.test_loss, record.test_accuracy)
        assert client.models.evaluation(job, wait=True).epochs_done >= found["epochs_done"]
        client.jobs.get(job).cancel()
