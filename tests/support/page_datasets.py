"""Data sets and networks of their own for the tests of the page."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.image_requests import encoded
from tests.support.own_pictures import write_letters
from tests.support.server_process import Server, eventually

PIXEL = """() => {
  const canvas = document.querySelector('.eye canvas');
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const levels = Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
  return { corner: levels[0], most: Math.max(...levels), width };
}"""
VERDICT = "document.querySelector('.room .verdict strong')?.textContent"
TABLE = "length,width,kind\n" + "".join(
    f"{5 + at % 7 / 10},{at % 5 + (0 if at % 2 else 9)},{'oak' if at % 2 else 'elm'}\n"
    for at in range(60)
)
"""Rows of two measurements with a class."""


def packed(folder: Path) -> Path:
    """Return a zip of three classes of letters."""
    write_letters(folder / "letters")
    path = folder / "My Letters.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((folder / "letters").rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def put(server: Server, name: str, content: bytes, **options: Any) -> None:
    """Send a data set without the page, and wait until it is ready."""
    answer = server.http.put(f"/v1/datasets/{name}", content=content, params=options)
    assert answer.status_code == 201, answer.text
    eventually(lambda: server.http.get(f"/v1/datasets/{name}").json()["state"] == "ready", name, 30)


def delete(server: Server, name: str) -> None:
    """Delete a data set that jobs use, and wait until its files are gone as well."""
    sha256 = server.http.get(f"/v1/datasets/{name}").json()["sha256"]
    assert server.http.delete(f"/v1/datasets/{name}?force=true").status_code == 204
    folder = Path(server.environment["MLP_DATASETS_DIR"]) / f"sha256-{sha256}"
    eventually(lambda: not folder.exists(), f"the files of {name} to be deleted")


def train(server: Server, dataset: str, **spec: Any) -> str:
    spec = {"hidden": [16], "epochs": 30, "batch_size": 16, "dataset": dataset, **spec}
    job = str(server.http.post("/v1/jobs", json=spec).json()["id"])
    eventually(
        lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", "the job", 60
    )
    return job


GEMS = ("leaf", "ruby", "sky")


def gems() -> bytes:
    """Return a zip of coloured pictures in three splits, with a leak and two equal ones."""
    rng = np.random.default_rng(2)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for split, rows in (("train", 12), ("val", 4), ("test", 5)):
            for channel, kind in enumerate(GEMS):
                for at in range(rows):
                    pixels = rng.integers(0, 60, (10, 8, 3), np.uint8)
                    pixels[2:7, 1:6, channel] = 250
                    archive.writestr(f"gems/{split}/{kind}/{at}.png", encoded(pixels))
                    if at == 3 and split == "train":
                        archive.writestr(f"gems/{split}/{kind}/copy.png", encoded(pixels))
                    if at == 4 and split == "train":
                        archive.writestr(f"gems/test/{kind}/leak.png", encoded(pixels))
    return file.getvalue()
