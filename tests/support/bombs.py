"""Small bodies that would take much memory or time if a server believed what they say."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.support.npz_bombs import described, npy, npz_files
from tests.support.picture_bombs import MANY, jpegs, other_formats, pngs, zeros


@dataclass(frozen=True)
class Bomb:
    name: str
    body: bytes
    media_type: str
    encoding: str | None = None
    path: str = "/v1/models/latest/predict"

    def headers(self) -> dict[str, str]:
        encoded = {"Content-Encoding": self.encoding} if self.encoding else {}
        return {"Content-Type": self.media_type, **encoded}


def corpus() -> list[Bomb]:
    return [
        *(Bomb(f"png: {name}", body, "image/png") for name, body in pngs().items()),
        *(Bomb(f"jpeg: {name}", body, "image/jpeg") for name, body in jpegs().items()),
        *(Bomb(f"picture: {name}", body, "image/png") for name, body in other_formats().items()),
        *(Bomb(f"npy: {name}", body, "application/x-npy") for name, body in arrays().items()),
        *packed(),
        *(
            Bomb(f"json: {name}", body, "application/json")
            for name, body in predict_requests().items()
        ),
        *forms(),
        *(
            Bomb(f"spec: {name}", body, "application/json", path="/v1/jobs")
            for name, body in specs().items()
        ),
    ]


# --- Arrays ---


def arrays() -> dict[str, bytes]:
    return {
        "16 GB": npy(described("(20408163, 28, 28)")),
        "shape beyond 64 bits": npy(described("(99999999999999999999, 28, 28)")),
        "negative": npy(described("(-1, 28, 28)")),
        "no rows": npy(described("(0, 28, 28)")),
        "shape of 40 digits": npy(described(f"({'9' * 40},)")),
        "shape of 5000 digits": npy(described(f"({'9' * 5000},)")),
        "ten thousand sides": npy(described(f"({'1,' * 10_000})"), version=2),
        "objects": npy(described("(1, 28, 28)", "'|O'"), b"cos\nsystem\n(S'id'\ntR."),
        "structures": npy(described("(784,)", "[('a', '|u1'), ('b', '|O')]"), bytes(784)),
        "text": npy(described("(784,)", "'<U1000000'")),
        "type of enormous size": npy(described("(784,)", "'|V2147483647'")),
        "code": npy("__import__('os').system('true')\n"),
        "sum": npy(described("(1,)+(28,28)")),
        "power": npy(described("(9**9**9, 28, 28)")),
        "longer than its data": npy(described("(28, 28)"), bytes(9)),
        "fortran and too short": npy(described("(9999, 28, 28)", order="True"), bytes(784)),
        "version 3": npy(described("(28, 28)"), bytes(784), version=3),
        "version 255": npy(described("(28, 28)"), bytes(784), version=255),
        "header of 100 kB": npy(described("(28, 28)") + " " * 100_000, bytes(784), version=2),
        "header of 8 MB": npy("[" * 8_000_000, version=2),
        "header of nested lists": npy("[" * 9_000 + "]" * 9_000),
        "header of nested signs": npy("-" * 9_000 + "1"),
        "header of nested attributes": npy("a" + ".a" * 4_000),
        "header longer than the body": npy(described("(28, 28)"), version=2, length=2**32 - 1),
        "header with NUL": npy(b"\0" * 64),
        "magic only": b"\x93NUMPY",
        "floats beyond 1": npy(described("(28, 28)", "'<f4'"), np.full(784, 1e30, "f4").tobytes()),
        "floats that are none": npy(described("(28, 28)", "'<f8'"), np.full(784, np.nan).tobytes()),
        "half floats, too many": npy(described("(10001, 784)", "'<f2'"), bytes(784)),
    }


# --- Packed ---


def packed() -> Iterator[Bomb]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", npy(described("(10000, 28, 28)"), bytes(7_840_000)))
        archive.writestr("../../evil.npy", bytes(MANY))
    zipped = gzip.compress(bytes(30 * MANY))
    for media_type in ("application/x-npy", "application/octet-stream", "image/png"):
        yield Bomb(f"npz as {media_type}", file.getvalue(), media_type)
        yield Bomb(f"gzip as {media_type}", zipped, media_type)
        yield Bomb(f"gzip encoding of {media_type}", zipped, media_type, "gzip")
    yield Bomb("npz as application/zip", file.getvalue(), "application/zip")
    for title, body in npz_files():
        yield Bomb(f"npz of {title}", body, "application/x-npz")
    yield Bomb("escapes in a form", b"%41" * MANY, "application/x-www-form-urlencoded")
    yield Bomb("percent signs", b"%" * 3 * MANY, "application/x-www-form-urlencoded")
    yield Bomb("escapes in a data URL", b"data:image/png," + b"%411" * MANY, "text/plain")
    yield Bomb("base64 of short lines", b"QUFB" * 20 + b"aa\n" * MANY, "text/plain")
    yield Bomb("csv of one row", b"1," * 2 * MANY, "text/csv")
    yield Bomb("csv of empty rows", b"1\n" * MANY, "text/csv")
    yield Bomb("urlencoded", b"a=%41&" * MANY, "application/x-www-form-urlencoded")
    yield Bomb("base64 as text", b"QUFB" * MANY, "text/plain")
    yield Bomb("digits and no type", b"7" * MANY, "")
    yield Bomb("gzip as JSON", zipped, "application/json", "gzip")
    yield Bomb("gzip as a spec", zipped, "application/json", "gzip", path="/v1/jobs")
    yield Bomb("deflate as a spec", zeros(30 * MANY), "application/json", "deflate", "/v1/jobs")
    endless, empty = gzip.compress(bytes(10 * MANY)) * 900, gzip.compress(b"")
    yield Bomb("gzip of 9 GB as JSON", endless, "application/json", "gzip")
    yield Bomb("gzip of 9 GB as a spec", endless, "application/json", "gzip", "/v1/jobs")
    yield Bomb("gzip of nothing, often", empty * 400_000, "application/json", "gzip")
    yield Bomb("gzip of one byte, often", gzip.compress(b" ") * 400_000, "image/png", "gzip")
    blocks = b"\x00\x00\x00\xff\xff" * 1_600_000  # stored blocks of no bytes
    yield Bomb("deflate of nothing", blocks, "application/json", "deflate")


# --- JSON ---


def one(given: object) -> bytes:
    return json.dumps({"inputs": [given]}).encode()


def predict_requests() -> dict[str, bytes]:
    picture = base64.b64encode(pngs()["5000x5000"]).decode()
    bad = json.dumps({"inputs": [{"base64": "!"}]}).encode()
    return {
        "instances of nothing": b'{"instances": [' + b"[]," * 200_000 + b"[]]}",
        "instances of texts": b'{"instances": [' + b'"!",' * 40_000 + b'"!"]}',
        "deep instances": b'{"instances": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        "tensor of 10^18": b'{"inputs": [{"datatype": "FP32", "shape": [1000000000, 1000000000], '
        b'"data": [1]}]}',
        "numbers beyond 10 MB": b"[" + b"0," * 6 * MANY + b"0]",
        "deep lists": b'{"inputs": ' + b"[" * 200_000,
        "deep objects": b'{"inputs": [{"pixels": ' + b'[{"a":' * 100_000,
        "deep and whole": b'{"inputs": [{"pixels": ' + b"[" * 9_000 + b"]" * 9_000 + b"}]}",
        "5000 digits": b'{"inputs": [{"pixels": [[' + b"1" * 5000 + b"]]}]}",
        "a million digits": b'{"inputs": [{"pixels": [[' + b"1" * MANY + b"]]}]}",
        "1e999": b'{"inputs": [{"values": [[1e999]]}]}',
        "long exponent": b'{"inputs": [{"values": [[1e' + b"9" * 5000 + b"]]}]}",
        "long fraction": b'{"inputs": [{"values": [[0.' + b"9" * MANY + b"]]}]}",
        "many keys": b'{"inputs": [{' + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}]}",
        "one key many times": b'{"inputs": [{' + b'"base64": "!",' * 60_000 + b'"base64": "!"}]}',
        "long text": one({"base64": "A" * 9 * MANY}),
        "lone surrogates": b'{"inputs": [{"base64": "' + b"\\ud800" * 50_000 + b'"}]}',
        "10000 bad texts": bad,
        "ragged": one({"pixels": [[0] * n for n in range(1, 400)]}),
        "one cell too few": one({"pixels": [[0] * 1000] * 999 + [[0] * 999]}),
        "deep cells": one({"pixels": [[[[[0]]]]] * 784}),
        "PNG of 5000x5000": one({"base64": picture}),
        "itself as base64 ten times": one({"base64": nested_base64(10)}),
        "data URL without end": one({"base64": "data:" + ";base64," * 90_000}),
        "escapes": b'{"inputs": [{"base64": "' + b"\\u0041" * 100_001 + b'"}]}',
        "white space": b'{"inputs":' + b" " * 9 * MANY + b"}",
        "top of 5000 digits": b'{"inputs": [{"dataset": "mnist", "index": 1}], "top_k": '
        + b"9" * 5000
        + b"}",
    }


def nested_base64(times: int) -> str:
    text = b"A" * 1000
    for _ in range(times):
        text = base64.b64encode(text)
    return text.decode()


# --- Forms and specs ---


def forms() -> Iterator[Bomb]:
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\na\r\n'
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\na\r\n'
    end = b"--x--\r\n"
    boundary = "b" * 30_000
    name = b"n" * 100_000
    bodies = {
        "20000 files": (part * 20_000 + end, "x"),
        "20000 fields": (field * 20_000 + end, "x"),
        "headers without end": (b"--x\r\n" + b"X-More: 1\r\n" * 90_000, "x"),
        "one header without end": (b"--x\r\nX-More: " + b"x" * MANY, "x"),
        "no boundary": (part + end, None),
        "boundary of 30 kB": (b"--" + boundary.encode() + b"\r\n", boundary),
        "boundary that nearly comes": (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + b"\r\n--" * 500_000,
            "x",
        ),
        "nested": (
            part.replace(b"\r\n\r\na", b"\r\nContent-Type: multipart/mixed\r\n\r\n") + end,
            "x",
        ),
        "file name of 100 kB": (part.replace(b'"a"', b'"' + name + b'"') + end, "x"),
        "not closed": (part, "x"),
        "nothing": (b"", "x"),
        "many bad files": (part * 300 + end, "x"),
    }
    for title, (body, mark) in bodies.items():
        kind = "multipart/form-data" + (f"; boundary={mark}" if mark is not None else "")
        if title != "many bad files":
            yield Bomb(f"form: {title}", body, kind)


def specs() -> dict[str, bytes]:
    large = 10**9
    return {
        "10^9 wide": json.dumps({"hidden": [large]}).encode(),
        "10^9 epochs": json.dumps({"epochs": large}).encode(),
        "10^9 images in a batch": json.dumps({"batch_size": large}).encode(),
        "4096 layers": json.dumps({"hidden": [1] * 4096}).encode(),
        "60000 layers": json.dumps({"hidden": [1] * 60_000}).encode(),
        "widest of all layers": json.dumps({"hidden": [8192] * 16}).encode(),
        "all limits at once": json.dumps(
            {"hidden": [1900] * 5, "epochs": 10_000, "batch_size": 1}
        ).encode(),
        "metadata of 10000 keys": json.dumps(
            {"metadata": {str(n): "" for n in range(9999)}}
        ).encode(),
        "metadata of 200 kB": json.dumps({"metadata": {"a": "x" * 200_000}}).encode(),
        "20000 tags": json.dumps({"tags": ["a"] * 20_000}).encode(),
        "name of 200 kB": json.dumps({"name": "n" * 200_000}).encode(),
        "seed of 5000 digits": b'{"seed": ' + b"9" * 5000 + b"}",
        "rate of 1e999": b'{"learning_rate": 1e999}',
        "deep": b'{"metadata": ' + b'{"a":' * 40_000,
        "long unknown name": json.dumps({"u" * 200_000: 1}).encode(),
        "40000 unknown names": json.dumps({str(n): 1 for n in range(20_000)}).encode(),
    }
