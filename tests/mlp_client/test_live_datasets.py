"""Data sets that both clients send to a real server."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlp_client import AsyncClient, Client, DatasetFailed, NotFoundError, RefusedError
from tests.support.own_pictures import write_letters
from tests.support.server_process import Server

SQUARES = np.random.default_rng(3).integers(0, 256, (40, 6, 5), np.uint8)
KINDS = ["odd" if at % 2 else "even" for at in range(40)]


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """Write an array in the format of MNIST's files."""
    head = bytes([0, 0, 8, array.ndim])
    return head + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def test_a_folder_a_list_of_files_and_arrays_become_data_sets(
    server: Server, tmp_path: Path
) -> None:
    write_letters(tmp_path / "letters", each=12)
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx/train-images-idx3-ubyte").write_bytes(idx(SQUARES))
    (tmp_path / "idx/train-labels-idx1-ubyte").write_bytes(idx(np.arange(40, dtype=np.uint8) % 2))
    with Client(server.url) as client:
        create = client.datasets.create
        letters = create("letters", tmp_path / "letters", split={"test": 0.25}).wait(timeout=60)
        assert (letters.classes, letters.data.train_rows) == (["A", "B", "C"], 27)
        assert letters.report().found["format"] == "zip"
        images, labels = letters.samples(split="train", limit=27), letters.labels("train")
        assert (images.shape, sorted(labels.tolist())) == ((27, 32, 32), sorted([0, 1, 2] * 9))
        assert letters.contact_sheet(limit=4).startswith(b"\x89PNG")

        squares = create("squares", tmp_path / "idx", split="none")
        assert [record.state for record in squares.events()][-1] == "ready"
        arrays = create("arrays", x_train=SQUARES, y_train=KINDS, split="none").wait(timeout=60)
        assert arrays.classes == ["even", "odd"]
        for made in (squares, arrays):
            assert made.data.image_shape == [6, 5]
            sent = sorted(zip((image.tobytes() for image in SQUARES), [0, 1] * 20, strict=True))
            kept = [image.tobytes() for image in made.samples(split="train", limit=40)]
            assert sorted(zip(kept, made.labels("train").tolist(), strict=True)) == sent
        names = {it.name for it in client.datasets.list()}
        assert names == {"mnist", "letters", "squares", "arrays"}


def test_the_same_is_sent_again_for_nothing_and_other_files_are_refused(
    server: Server, tmp_path: Path
) -> None:
    write_letters(tmp_path / "letters", each=6)
    with Client(server.url) as client:
        first = client.datasets.create("letters", tmp_path / "letters").wait(timeout=60)
        again = client.datasets.create("letters", tmp_path / "letters")
        assert (again.data.id, again.state) == (first.data.id, "ready")
        (tmp_path / "letters/A/1.png").unlink()
        with pytest.raises(RefusedError, match="letters"):
            client.datasets.create("letters", tmp_path / "letters")
        job = client.jobs.create("linear", dataset="letters", epochs=1, batch_size=4).wait()
        assert len(job.predict(tmp_path / "letters/B/1.png", top_k=3).top_k) == 3
        with pytest.raises(RefusedError):
            first.delete()
        first.delete(force=True)
        with pytest.raises(NotFoundError):
            first.refresh()
        assert job.predict(tmp_path / "letters/B/1.png").name in ("A", "B", "C")


def test_the_asynchronous_client_sends_them_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "page.csv").write_text("<!doctype html><title>Not the file</title>")

    async def use() -> None:
        async with AsyncClient(server.url) as client:
            made = await client.datasets.create("arrays", x_train=SQUARES, y_train=KINDS)
            assert (await (await made.wait(timeout=60)).report()).rows == {"train": 32, "test": 8}
            page = await client.datasets.create("page", tmp_path / "page.csv")
            assert [record.state async for record in page.events()][-1] == "failed"
            with pytest.raises(DatasetFailed, match="This is a web page") as caught:
                await page.wait(timeout=60)
            assert [flaw.code for flaw in caught.value.report.errors] == ["web_page"]
            await page.delete()

    asyncio.run(use())


def test_the_asynchronous_client_collects_samples(server: Server, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2400, 2400), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")

    async def collect() -> None:
        async with AsyncClient(server.url) as client:
            add = client.datasets.add_sample
            for image, kind in zip(SQUARES[:8], KINDS, strict=False):
                made = await add("kinds", image, kind)
            assert (made.state, made.data.samples) == ("collecting", 8)
            assert (await made.wait(timeout=5)).state == "collecting", "it waits for the client"
            made = await add("kinds", tmp_path / "large.png", "odd")
            assert made.data.samples == 9
            again = await add("kinds", SQUARES[9], "even")
            await client.datasets.delete_sample("kinds", again.data.samples or 0)
            frozen = await client.datasets.freeze("kinds", split="none", size=[6, 5])
            ready = await frozen.wait(timeout=60)
            assert (ready.classes, ready.data.train_rows) == (["even", "odd"], 9)
            assert np.array_equal(await ready.samples(range(8)), SQUARES[:8])
            with pytest.raises(RefusedError):
                await add("kinds", SQUARES[0], "odd")

    asyncio.run(collect())


def test_networks_of_a_derived_set_read_pictures_as_those_of_its_source(
    server: Server, tmp_path: Path
) -> None:
    write_letters(tmp_path / "letters", each=12)  # black on white, so that they are inverted
    with Client(server.url) as client:
        letters = client.datasets.create("letters", tmp_path / "letters").wait(timeout=60)
        some = client.datasets.derive("some", "letters", classes=["C", "A"], rows=6)
        assert some.wait(timeout=60).classes == ["C", "A"]
        assert (some.data.train_rows, some.data.input) == (12, letters.data.input)
        assert letters.data.options is not None
        assert some.data.options is not None
        assert some.data.options.from_ is not None
        assert some.data.options.from_.sha256 == letters.data.sha256
        assert some.data.options.invert is letters.data.options.invert is True
        job = client.jobs.create("linear", dataset="some", epochs=40, batch_size=4).wait()
        for letter in "AC":
            read = [job.predict(tmp_path / f"letters/{letter}/{n}.png").name for n in range(1, 13)]
            assert read.count(letter) > 9, letter


def test_a_derived_set_that_waits_survives_a_crash_of_the_server(server: Server) -> None:
    async def ask() -> str:
        async with AsyncClient(server.url) as client:
            made = await client.datasets.derive("few", "mnist", rows=20, split={"test": 0.5})
            return made.data.id or ""

    asked = asyncio.run(ask())
    server.kill()
    server.start()
    with Client(server.url) as client:
        few = client.datasets.get("few").wait(timeout=60)
        assert (few.data.id, few.data.train_rows) == (asked, 200)
        assert few.data.test_rows == pytest.approx(35_000, abs=10)
