"""Both clients against a real server, over TCP and through a UNIX socket."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlp_client import AsyncClient, Client, NotFoundError
from tests.support.server_process import Server
from tests.support.socket_relay import relay


def pixels_of(client: Client, count: int) -> list[list[list[int]]]:
    return [client.sample(index).pixels for index in range(count)]


def test_the_blocking_client_does_all_that_it_can(server: Server) -> None:
    with Client(server.url) as client:
        job = client.jobs.create("linear", batch_size=np.int64(4096), epochs=np.int8(2))
        states = [seen.state for seen in job.watch()]
        assert (states[-1], job.metrics.final) == ("succeeded", job.epochs()[-1])
        events = list(job.events())
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert [it.data["epoch"] for it in events if it.type == "epoch"] == [1, 2]
        assert list(job.events(after=events[-2].number)) == events[-1:]
        assert [found.id for found in client.jobs.list(state="succeeded")] == [job.id]
        digits = np.array(pixels_of(client, 5), np.uint8)
        labels = [it.label for it in client.models.predict_array(digits)]
        assert labels == client.models.probabilities(digits).argmax(axis=1).tolist()
        assert job.curves().format == "png"
        assert client.curves([job], format="svg").format == "svg"
        assert client.models.picture().startswith(b"\x89PNG")
        assert client.contact_sheet(limit=5).startswith(b"\x89PNG")
        assert len(client.models.weights(format="npz")) > 1000
        job.delete()
        assert list(client.jobs.list()) == []


def test_the_blocking_client_asks_earlier_networks_about_whole_sets(server: Server) -> None:
    with Client(server.url) as client:
        job = client.jobs.create("linear", batch_size=4096, epochs=2).wait()
        kept = client.models.snapshots(job.id)
        assert [it.epoch for it in kept] == [0, 1, 2]
        first = f"{job.id}@1"
        earlier, later = (client.models.evaluation(ref) for ref in (first, job.id))
        assert (earlier.epochs_done, later.epochs_done) == (1, 2)
        for found, recorded in zip((earlier, later), job.epochs(), strict=True):
            figures = found.loss, found.accuracy
            assert figures == (recorded.test_loss, recorded.test_accuracy), "bit for bit"
        seen = client.models.evaluation(job.id, split="train")
        recorded = job.epochs()[-1]
        assert (seen.loss, seen.accuracy) == (recorded.train_loss, recorded.train_accuracy)
        assert client.models.confusion(first, share="actual", format="svg").format == "svg"
        assert client.models.reliability(first, bins=7).format == "png"
        assert client.models.misread_picture(first, actual="4", limit=3).format == "png"
        table = client.models.set_probabilities(first)
        assert table.shape == (10_000, 10)
        assert table.argmax(axis=1).tolist().count(4) == earlier.classes[4].predicted
        assert client.models.film(job.id, minus="start")[8:12] == b"WEBP"
        won = client.models.misread(first, unlike=job.id, limit=5)
        assert won.total - (won.reverse_total or 0) == earlier.misread - later.misread
        assert won.data[0].unlike is not None
        assert won.data[0].unlike.predicted == won.data[0].actual
        many = np.array(pixels_of(client, 3) * 400, np.uint8)
        first_labels = [it.label for it in client.models.predict_array(many, first)]
        assert first_labels == client.models.probabilities(many, first).argmax(axis=1).tolist()


def test_both_clients_ask_for_reasons_and_for_weights_as_arrays(server: Server) -> None:
    async def ask(job: str) -> tuple[Any, Any, Any]:
        async with AsyncClient(server.url) as client:
            models = client.models
            return (
                await models.predict(seven, job, return_=["contributions", "votes"], for_=7),
                await models.layer_weights(job, 1, units=2, offset=3, minus="start"),
                await models.layer_biases(job, 2),
            )

    with Client(server.url) as client:
        job = client.jobs.create(hidden=[8], batch_size=4096, epochs=1)
        job.wait()
        seven = client.sample(0).pixels
        found = job.predict(seven, return_=["contributions", "votes"], for_=7)
        assert found.contributions is not None
        why = found.contributions
        assert (why.for_, why.against, found.activations) == (7, found.rival, None)
        assert sum(why.pixels) + why.bias == pytest.approx(why.difference, abs=1e-4)
        learned = client.models.layer_weights(job.id, 1, units=2, offset=3, minus="start")
        trained, start = (client.models.layer_weights(ref) for ref in (job.id, f"{job.id}@0"))
        assert learned.tobytes() == (trained - start)[3:5].tobytes()
        biases = client.models.layer_biases(job.id, 2)
        assert biases.shape == (10,)
        by_async = asyncio.run(ask(job.id))
    assert by_async[0] == found
    assert (by_async[1].tobytes(), by_async[2].tobytes()) == (learned.tobytes(), biases.tobytes())


def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    async def use() -> None:
        async with AsyncClient(server.url) as client:
            job = await client.jobs.create("linear", batch_size=4096, epochs=2)
            states = [seen.state async for seen in job.watch()]
            assert (states[-1], job.metrics.final) == ("succeeded", (await job.epochs())[-1])
            events = [event async for event in job.events()]
            assert [it.data["epoch"] for it in events if it.type == "epoch"] == [1, 2]
            others = [await client.jobs.create("linear", batch_size=4096, epochs=1, seed=seed)
                      for seed in (1, 2)]  # fmt: skip
            await client.wait_all(others, timeout=60)
            assert {other.state for other in others} == {"succeeded"}
            found = [found.id async for found in client.jobs.list(state="succeeded")]
            assert found == [*reversed([other.id for other in others]), job.id]
            samples = [(await client.sample(index)).pixels for index in range(5)]
            digits = np.array(samples, np.uint8)
            predictions = await job.predict(samples)
            labels = [it.label for it in await client.models.predict_array(digits, job.id)]
            assert [it.label for it in predictions] == labels
            rows = await client.models.probabilities(digits, job.id)
            assert rows.argmax(axis=1).tolist() == labels
            assert (await job.curves()).format == "png"
            assert (await client.curves([job], format="svg")).format == "svg"
            assert (await client.models.picture()).startswith(b"\x89PNG")
            assert (await client.contact_sheet(limit=5)).startswith(b"\x89PNG")
            assert len(await client.models.weights(format="npz")) > 1000
            assert [it.epoch for it in await client.models.snapshots(job.id)] == [0, 1, 2]
            assert (await client.models.film(job.id, seconds=2))[8:12] == b"WEBP"
            assert "linear" in [preset.name for preset in await client.presets()]
            await job.delete()
            assert (await others[0].refresh()).state == "succeeded"

    asyncio.run(use())


def test_the_asynchronous_client_asks_about_whole_sets(server: Server) -> None:
    async def use() -> None:
        async with AsyncClient(server.url) as client:
            job = await client.jobs.create("linear", batch_size=4096, epochs=2)
            await job.wait()
            evaluation = await client.models.evaluation(f"{job.id}@best")
            misread = await client.models.misread(f"{job.id}@best", actual="9")
            recalled = evaluation.classes[9].recall or 0.0
            assert misread.total == round((1 - recalled) * evaluation.classes[9].support)
            table = await client.models.set_probabilities(f"{job.id}@best")
            assert table.shape == (10_000, 10)
            assert (await client.models.confusion()).format == "png"
            assert (await client.models.reliability(format="svg")).format == "svg"

    asyncio.run(use())


def test_both_clients_fetch_samples_by_index_and_by_class(server: Server) -> None:
    async def fetch() -> tuple[Any, Any, Any, bytes]:
        async with AsyncClient(server.url) as client:
            return (
                await client.samples(indices=np.array([9, 0, 9])),
                await client.samples(label=7, limit=3, offset=1, split="train"),
                await client.labels(split="train"),
                await client.contact_sheet(label=7, limit=5),
            )

    with Client(server.url) as client:
        chosen = client.samples(indices=[9, 0, 9])
        sevens = client.samples(label=7, limit=3, offset=1, split="train")
        labels = client.labels(split="train")
        sheets = [client.contact_sheet(label=7, limit=5), client.contact_sheet(indices=[9])]
        again = asyncio.run(fetch())
        for one, other in zip((chosen, sevens, labels), again[:3], strict=True):
            assert one.dtype == np.uint8
            assert np.array_equal(one, other)
        assert chosen.tolist() == [client.sample(index).pixels for index in (9, 0, 9)]
        rows = np.flatnonzero(labels == 7)[1:4]
        in_train = [client.sample(int(row), split="train") for row in rows]
        assert sevens.tolist() == [sample.pixels for sample in in_train]
        assert labels.shape == (60_000,)
        assert client.samples().shape == (50, 28, 28)
        assert (sheets[0], len({*sheets})) == (again[3], 2)
        with pytest.raises(ValueError, match="indices is empty"):
            client.samples(indices=[])
        with pytest.raises(NotFoundError, match="There is no class 10"):
            client.samples(label=10)
        with pytest.raises(NotFoundError, match="There is no row 10000"):
            client.contact_sheet(indices=[0, 10_000])


def test_a_thousand_pictures_are_predicted_in_order(trained: Server, tmp_path: Path) -> None:
    with Client(trained.url) as client:
        digits = np.array(pixels_of(client, 20), np.uint8)
        expected = [it.label for it in client.models.predict_array(digits)]
        for index, digit in enumerate(digits):
            Image.fromarray(digit).save(tmp_path / f"{index:02}.png")
        files = sorted(tmp_path.glob("*.png")) * 60
        assert [it.label for it in client.models.predict(files)] == expected * 60


def test_a_picture_that_can_not_be_read_has_a_problem_with_its_place_in_the_list(
    trained: Server,
) -> None:
    digit = np.eye(28, dtype=np.uint8) * 255
    with Client(trained.url) as client:
        found = client.models.predict([*[digit] * 600, [300] * 784, digit])
        [alone] = client.models.predict([b"no picture"])
    problems = {index: it.problem.detail for index, it in enumerate(found) if it.problem}
    assert list(problems) == [600]
    assert problems[600].startswith("#/inputs/600: ")
    assert alone.problem
    assert alone.problem.status == 422


@pytest.fixture
def socket_path(trained: Server, tmp_path: Path) -> Iterator[Path]:
    """A UNIX socket that leads to the server."""
    path = tmp_path / "mlp service.sock"
    with relay(path, trained.port):
        yield path


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}", "http+unix://{quoted}"])
def test_a_server_is_reached_through_a_unix_socket(socket_path: Path, form: str) -> None:
    quoted = str(socket_path).replace("/", "%2F").replace(" ", "%20")
    url = form.format(socket_path, quoted=quoted)
    with Client(url) as client:
        assert client.base_url == url
        assert len(list(client.jobs.list())) == 1


PROXIES = ["http_proxy", "https_proxy", "all_proxy"]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{port}", "socks5://127.0.0.1:{port}", "?"])
def test_no_proxy_is_asked_for_this_machine(
    trained: Server, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.format(port=listener.getsockname()[1]))
        for host in ("127.0.0.1", "localhost"):
            with Client(f"{host}:{trained.port}") as client:
                assert client.presets()

        async def use() -> None:
            async with AsyncClient(trained.url) as client:
                assert await client.presets()

        asyncio.run(use())
        with pytest.raises(BlockingIOError):
            listener.accept()
