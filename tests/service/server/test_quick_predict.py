"""Predictions that are computed together are told apart."""

import asyncio
from pathlib import Path

import httpx2
import numpy as np

from service.app import create_app
from tests.service.conftest import World
from tests.service.server.test_stack import PREDICT
from tests.support.live_service import settings


def test_requests_of_the_same_turn_get_the_answers_that_they_would_get_alone(
    world: World, datasets_dir: Path
) -> None:
    """They alternate between two networks, and one has an image that must be refused."""
    [path] = datasets_dir.glob("mnist-*/t10k-images-idx3-ubyte.npy")
    bodies = [digit.tobytes() for digit in np.load(path)[:31]] + [bytes(784)]
    paths = [PREDICT, f"/v1/models/{world.deep}/predict"] * 16
    app = create_app(settings(world.data_dir, datasets_dir))
    transport = httpx2.ASGITransport(app)
    headers = {"Content-Type": "application/octet-stream"}

    async def ask() -> tuple[list[httpx2.Response], list[httpx2.Response]]:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            def post(path: str, body: bytes) -> "asyncio.Future[httpx2.Response]":
                return asyncio.ensure_future(client.post(path, content=body, headers=headers))

            asked = list(zip(paths, bodies, strict=True))
            alone = [await post(*each) for each in asked]
            return alone, list(await asyncio.gather(*(post(*each) for each in asked)))

    alone, together = asyncio.run(ask())
    app.state.components.database.close()
    assert [answer.status_code for answer in together] == [200] * 31 + [422]
    for one, other in zip(alone[:31], together[:31], strict=True):
        assert one.json() == other.json()
    assert {answer.json()["model"] for answer in together[:31]} == {world.linear, world.deep}
    assert len({answer.headers["Request-Id"] for answer in (*alone, *together)}) == 64
