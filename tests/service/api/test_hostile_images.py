"""Pictures and arrays made to crash a server, or to fill its memory."""

import io
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_cheap, check_problem
from tests.service.conftest import World
from tests.support.image_requests import PATH, ask, chunk, encoded, npy, only
from tests.support.server_process import Server, resident


def png_claiming(width: int, height: int) -> bytes:
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + body


def blank_picture(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def animation() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("L", (28, 28), n) for n in range(5)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def with_text_bomb(png: bytes) -> bytes:
    return png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:]


def tiff(*fields: tuple[int, ...]) -> bytes:
    """Return a TIFF with these fields: tag, type, and either a value or a count and a place."""
    entries = [
        struct.pack("<HHII", *(field if len(field) == 4 else (field[0], field[1], 1, field[2])))
        for field in fields
    ]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda png: b"",
    "truncated": lambda png: png[:-40],
    "header only": lambda png: png[:30],
    "noise": lambda png: png[:8] + np.random.default_rng(1).bytes(500),
    "9000x9000": lambda png: blank_picture(9000),
    "65535x65535": lambda png: png_claiming(65535, 65535),
    "2^31": lambda png: png_claiming(2**31 - 1, 2**31 - 1),
    "more than 20 MiB": lambda png: png + bytes(20 * 1024**2),
    "animation": lambda png: animation(),
    "svg": lambda png: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "tiff of 2^31 rows": lambda png: tiff((256, 4, 28), (257, 4, 2**31 - 1)),
    "tiff of a million strips": lambda png: tiff((256, 4, 28), (273, 4, 1_000_000, 8)),
    "heic": lambda png: b"\0\0\0\x18ftypheic" + bytes(400),
    "postscript": lambda png: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_hostile_picture_is_refused_cheaply(
    reader: TestClient, images: NDArray[np.uint8], name: str
) -> None:
    body = PICTURES[name](encoded(images[0]))
    answer = check_cheap(reader, lambda: ask(reader, body, "image/png"))
    check_problem(answer, 422)
    assert answer.json()["code"] == "bad-image"


def test_texts_in_a_picture_are_not_even_unpacked(
    reader: TestClient, images: NDArray[np.uint8]
) -> None:
    body = with_text_bomb(encoded(images[0]))
    answer = check_cheap(reader, lambda: ask(reader, body, "image/png"))
    assert answer.status_code == 200


def header(text: str, version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + size + text.encode("latin-1")


def described(descr: Any = "'|u1'", order: str = "False", shape: str = "(28, 28)") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


PICKLE = b"cos\nsystem\n(S'exit 3'\ntR."

ARRAYS = {
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "pickle": b"\x80\x04\x95" + PICKLE,
    "zip": b"PK\x03\x04" + bytes(100),
    "version 3": npy(np.zeros((28, 28), np.uint8), (3, 0)),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(100),
    "16 GB": described(shape="(20000000, 784)"),
    "16 GB of float64": described("'<f8'", shape="(2600000, 28, 28)"),
    "beyond 64 bits": described(shape="(" + "9" * 30 + ", 784)"),
    "negative": described(shape="(-1, 784)") + bytes(784),
    "none": described(shape="(0, 784)"),
    "10 001": described(shape="(10001, 784)") + bytes(10_001 * 784),
    "truth": described(shape="(True, 783)") + bytes(783),
    "scalar": described(shape="()") + bytes(1),
    "six dimensions": described(shape="(2, 1, 1, 2, 28, 7)") + bytes(784),
    "too short": described() + bytes(783),
    "too long": described() + bytes(785),
    "objects": described("'|O'") + PICKLE,
    "records": described("[('a', '<f4'), ('b', '|O')]") + PICKLE,
    "subarrays": described("('<f4', (2,))") + bytes(784 * 8),
    "integers above 255": npy(np.full((28, 28), 256, np.int32)),
    "uint16": npy(np.full((28, 28), 65_535, np.uint16)),
    "negative integers": npy(np.full((28, 28), -1, np.int8)),
    "complex": npy(np.zeros((28, 28), complex)),
    "text": npy(np.full((28, 28), "a")),
    "dates": npy(np.zeros((28, 28), "M8[s]")),
    "nan": npy(np.full((28, 28), np.nan)),
    "infinity": npy(np.full((28, 28), np.inf)),
    "above 255": npy(np.full((28, 28), 255.5)),
    "below 0": npy(np.full((28, 28), -0.01)),
    "no dictionary": header("[1, 2]"),
    "other keys": header("{1: 1, 'a': 2}"),
    "unhashable keys": header("{[]: 1}"),
    "half a dictionary": header("{" * 50),
    "half a text": header("{'descr': '''"),
    "indented": header("  a\n b\n   c"),
    "brackets": header("[" * 9000),
    "parentheses": header("(" * 9000),
    "minuses": header("-" * 9000 + "1"),
    "long header": header("x" * 60_000),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10),
    "no type": described("''"),
    "half a type": described("'f4,('"),
    "giant type": described("('<f4', (99999999999,))"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_a_hostile_array_is_refused_cheaply(reader: TestClient, name: str) -> None:
    answer = check_cheap(reader, lambda: ask(reader, ARRAYS[name], "application/x-npy"))
    check_problem(answer, 422)


@pytest.fixture
def busy(world: World, datasets_dir: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(world.data_dir, tmp_path / "data")
    server = Server(tmp_path / "data", datasets_dir).start()
    yield server
    server.stop()


def test_hostile_bodies_leave_the_servers_memory_unchanged(
    busy: Server, images: NDArray[np.uint8]
) -> None:
    bodies = [("application/x-npy", body) for body in ARRAYS.values()]
    bodies += [("image/png", make(encoded(images[0]))) for make in PICTURES.values()]

    def send_all() -> None:
        for media_type, body in bodies:
            busy.http.post(PATH, content=body, headers={"Content-Type": media_type})

    for _ in range(3):  # the first requests fill the threads' own stores of memory
        send_all()
    before = resident(busy.pid)
    for _ in range(5):
        send_all()
    assert resident(busy.pid) - before <= 16
    assert busy.http.get("/readyz").json()["status"] == "ready"


def test_a_size_of_true_in_an_array_header_counts_as_one(reader: TestClient) -> None:
    body = described(shape="(True, 784)") + bytes(392) + b"\xff" * 392
    assert only(ask(reader, body, "application/x-npy", normalize="never", top_k=10))
