"""Wrong answers lead to a better network: misread digits are corrected, and trained on."""

from pathlib import Path

import numpy as np
from PIL import Image

from mlp_client import Client
from mlp_client.dataset_records import DatasetState
from tests.support.image_requests import encoded
from tests.support.server_process import Server

CORRECTED = 10


def test_ten_misread_digits_are_trained_on(tmp_path: Path, datasets_dir: Path) -> None:
    server = Server(tmp_path / "data", datasets_dir).start()
    try:
        with Client(server.url) as client:
            correct_and_train(client, server)
    finally:
        server.stop()


def correct_and_train(client: Client, server: Server) -> None:
    first = client.jobs.create("linear", epochs=1, seed=1).wait(progress=False)
    mnist = client.datasets.get("mnist")
    labels = mnist.labels()
    read = [it.label for it in first.predict(list(mnist.samples(range(400))))]
    wrong = np.flatnonzero(np.array(read) != labels[:400])[:CORRECTED].tolist()
    assert len(wrong) == CORRECTED
    pictures = mnist.samples(wrong)
    large = [np.asarray(Image.fromarray(it).resize((280, 280))) for it in pictures[5:]]
    for picture, index in zip([*pictures[:5], *map(encoded, large)], wrong, strict=True):
        client.datasets.add_sample("mistakes", picture, str(labels[index]))
    server.kill()
    server.start()
    collecting = client.datasets.get("mistakes")
    assert (collecting.state, collecting.data.samples) == (DatasetState.COLLECTING, CORRECTED)
    mistakes = client.datasets.freeze("mistakes", base="mnist").wait(progress=False)
    assert (mistakes.data.train_rows, mistakes.data.test_rows) == (60_010, 10_000)
    assert np.array_equal(mistakes.labels("train")[60_000:], labels[wrong])
    stored = mistakes.samples(range(60_000, 60_010), split="train")
    assert np.array_equal(stored[:5], pictures[:5]), "they have MNIST's form already"
    seen = first.predict(large, return_pixels=True)
    assert [it.input.pixels for it in seen if it.input] == stored[5:].tolist()
    second = client.jobs.create("linear", dataset="mistakes", epochs=1, seed=1)
    assert second.wait(progress=False).predict(pictures[0]).label in range(10)
