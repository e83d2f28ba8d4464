"""A network of Fashion-MNIST, whose pictures are no digits, answers as it was measured."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import InputForm
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from tests.support.fashion_mnist import fashion
from tests.support.own_datasets import add_dataset, own_set
from tests.support.server_process import Server

NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"]
NAMES += ["Bag", "Ankle boot"]
ASKED = 1000
"""Pictures that are sent as files."""


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_a_network_of_fashion_answers_as_it_was_measured(tmp_path: Path) -> None:
    (train, train_labels), (test, test_labels) = fashion("train"), fashion("test")
    rows, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
    server = Server(tmp_path / "data", tmp_path / "sets")
    server.data_dir.mkdir()
    database = Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")
    migrate(database.url)
    made = own_set(rows, labels, NAMES, InputForm.IMAGE, len(test))
    add_dataset(database, tmp_path / "sets", "fashion", made)
    database.close()
    server.start()
    try:
        job = server.submit(dataset="fashion", epochs=5)
        measured = server.wait(job, "succeeded", seconds=300)["metrics"]["final"]["test_accuracy"]
        assert measured >= 0.86
        path, raw = f"/v1/models/{job}/predict", {"Content-Type": "application/octet-stream"}
        answer = server.http.post(f"{path}.npy", content=test.tobytes(), headers=raw)
        said = np.load(io.BytesIO(answer.content)).argmax(axis=1)
        found = []
        for start in range(0, ASKED, 500):
            chosen = test[start : start + 500]
            files = [("image", (f"{at}.png", png(it))) for at, it in enumerate(chosen)]
            found += server.http.post(path, files=files, timeout=120).json()["predictions"]
    finally:
        server.stop()
    assert float((said == test_labels).mean()) == measured
    assert [prediction["label"] for prediction in found] == said[:ASKED].tolist()
    assert [prediction["name"] for prediction in found] == [NAMES[it] for it in said[:ASKED]]
    assert not any(prediction["input"]["normalized"] for prediction in found)
