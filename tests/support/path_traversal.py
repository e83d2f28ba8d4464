"""Texts that name files outside the data directory, and the files that a server opens."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tests.support.campaign import ROOT
from tests.support.raw_requests import raw, request
from tests.support.server_process import Server

UPWARDS = (
    "../",
    "..\\",
    "..%2f",
    "..%5c",
    "%2e%2e/",
    "%2e%2e%2f",
    "%2E%2E%5C",
    "%252e%252e%252f",
    "%25252e%25252e%25252f",
    "....//",
    "..;/",
    "..%00/",
    "..%0d/",
    "\uff0e\uff0e\uff0f",
    "\u2024\u2024\u2215",
    "..%c0%af",
    "%c0%ae%c0%ae%c0%af",
    "..%e0%80%af",
    "%f0%80%80%ae%f0%80%80%ae/",
    "..%u2216",
)
STARTS = ("", "/", "//", "\\\\", "./", "%2f", "mnist/", "latest/", "job_0/")
GOALS = ("canary.txt", "etc/passwd", "jobs.sqlite3", "jobs.sqlite3%00canary.png")
ABSOLUTE = ("/etc/passwd", "file:///etc/passwd", "C:\\boot.ini", "\\\\host\\share", "~root", "%00")
OVERLONG = (
    b"..\xc0\xaf",
    b"\xc0\xae\xc0\xae/",
    b"\xe0\x80\xae\xe0\x80\xae/",
    b"\xff\xfe/",
    b"\x80/",
)


def traversals() -> list[bytes]:
    """Return many ways to write a path that leads elsewhere, some of them not Unicode."""
    depths = (1, 2, 3, 5)
    texts = [
        start + up * depth + goal
        for start, up, depth, goal in product(STARTS, UPWARDS, depths, GOALS)
        if depth in (1, 3) or not start
    ]
    overlong = [up * depth + b"etc/passwd" for up, depth in product(OVERLONG, depths)]
    return [*(text.encode() for text in (*ABSOLUTE, *texts)), *overlong]


ADDRESSES = (
    ("GET", "/v1/jobs/{}"),
    ("DELETE", "/v1/jobs/{}"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("GET", "/v1/jobs/{}/epochs"),
    ("GET", "/v1/jobs/{}/epochs.csv"),
    ("GET", "/v1/jobs/{}/curves.svg"),
    ("GET", "/v1/jobs/{}/events"),
    ("GET", "/v1/curves.png?jobs={}"),
    ("GET", "/v1/jobs?after={}"),
    ("GET", "/v1/models/{}/weights.npz"),
    ("GET", "/v1/models/{}/layers/1/weights.png"),
    ("POST", "/v1/models/{}/predict"),
    ("PATCH", "/v1/jobs/{}"),
    ("GET", "/v1/jobs?q={}"),
    ("GET", "/v1/jobs?tag={}&sort=-best&fields=summary"),
    ("GET", "/v1/jobs?sort={}"),
    ("GET", "/v1/epochs?jobs={}"),
    ("GET", "/v1/events?after={}"),
    ("GET", "/v1/models/{}/snapshots"),
    ("GET", "/v1/models/latest@{}/snapshots"),
    ("GET", "/v1/models/latest@{}/layers/1/weights.npy"),
    ("GET", "/v1/models/latest/layers/1/{}.npy"),
    ("GET", "/v1/models/{}/evaluation"),
    ("GET", "/v1/models/latest/evaluation/{}"),
    ("GET", "/v1/models/latest/evaluation/confusion.{}"),
    ("GET", "/v1/models/latest/evaluation/confusion.svg?dataset={}"),
    ("GET", "/v1/models/{}/evaluation/misread.json"),
    ("GET", "/v1/models/latest/evaluation/misread.json?unlike={}"),
    ("GET", "/v1/models/latest/evaluation/comparison?unlike={}"),
    ("GET", "/v1/models/latest/evaluation/misread.png?dataset={}"),
    ("GET", "/v1/models/{}/film.webp"),
    ("GET", "/v1/datasets/{}/test.npy"),
    ("GET", "/v1/datasets/mnist/{}.npy"),
    ("GET", "/v1/datasets/mnist/{}/labels.npy"),
    ("GET", "/v1/datasets/mnist/test.npy?indices={}"),
    ("GET", "/v1/datasets/{}"),
    ("GET", "/v1/datasets/{}/samples.png"),
    ("GET", "/v1/datasets/{}/test/0.png"),
    ("GET", "/v1/datasets/mnist/{}/0.json"),
    ("GET", "/problems/{}"),
    ("GET", "/vendor/{}"),
    ("GET", "/web/{}"),
    ("GET", "/web/0123456789abcdef/{}"),
    ("GET", "/vendor/swagger-ui-dist/{}"),
    ("GET", "/{}"),
)
FOUND = ("/v1/jobs?q={}", "/v1/jobs?tag={}&sort=-best&fields=summary", "/v1/epochs?jobs={}")
"""Searches among jobs: an answer with nothing in it is right as well."""


def readable(text: bytes) -> str:
    return text.decode("utf-8", "replace").replace("\x00", "?")


def in_bodies(server: Server, text: bytes) -> Iterator[tuple[int, bytes]]:
    """Send `text` as every name that a body, a form or a header may contain."""
    name, sample = readable(text), {"Content_Type": b"application/json"}
    for spec in (
        {"dataset": name},
        {"preset": name},
        {"name": name, "tags": [name], "metadata": {name: name}},
    ):
        for path in (b"/v1/jobs", b"/v1/jobs/preview"):
            yield raw(server, request(path, "POST", **sample), json.dumps(spec).encode())
    acted = json.dumps({"action": "delete", "jobs": [name[:64]]}).encode()
    yield raw(server, request(b"/v1/jobs/actions", "POST", **sample), acted)
    labels = json.dumps({"name": name, "tags": [name]}).encode()
    yield raw(server, request(b"/v1/jobs/nobody", "PATCH", **sample), labels)
    signed = json.dumps({"key": name}).encode()
    yield raw(server, request(b"/v1/session", "POST", **sample), signed)
    key = {**sample, "Idempotency_Key": text}
    yield raw(server, request(b"/v1/jobs", "POST", **key), b'{"dataset": "none"}')
    asked = json.dumps({"inputs": [{"dataset": name, "index": 0}]}).encode()
    yield raw(server, request(b"/v1/models/latest/predict", "POST", **sample), asked)
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="' + text
    form = {"Content_Type": b"multipart/form-data; boundary=x"}
    body = part + b'"\r\n\r\nnothing\r\n--x--\r\n'
    yield raw(server, request(b"/v1/models/latest/predict", "POST", **form), body)
    held = {"If_None_Match": text, "Last_Event_ID": text}
    yield raw(server, request(b"/v1/jobs/nobody", **held))


def outside(server: Server) -> set[Path]:
    """Return the files near the data directory and in the directory the server was started in."""
    near = {*server.data_dir.parent.rglob("*"), *ROOT.glob("*")}
    ours = {path for path in near if path.name.startswith(".coverage")}  # others are measured
    return {path for path in near if server.data_dir not in path.parents} - ours


@contextlib.contextmanager
def traced(server: Server, log: Path) -> Iterator[None]:
    """Record every file that the server opens, or tries to open."""
    command = ["strace", "-f", "-y", "-e", "trace=open,openat,openat2,creat", "-o", str(log)]
    tracer = subprocess.Popen([*command, "-p", str(server.pid)], stderr=subprocess.PIPE)
    assert tracer.stderr
    assert b"attached" in tracer.stderr.readline()
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()


WATCHED = re.compile(
    r"/proc/(locks|\d+/(cmdline|status|stat|fd)|sys/kernel/random/boot_id|vmstat|sys/vm/overcommit_memory)"
)
"""Where the dispatcher looks for workers that hold the database's lock, and the C library before it
returns memory."""


def opened_outside(server: Server, datasets_dir: Path, log: Path) -> list[str]:
    """Return the paths that the server opened although it has no reason to."""
    own = (server.data_dir, datasets_dir, ROOT / "service", ROOT / "mlp_client", ROOT / "mlp_core")
    python = (sys.prefix, sys.base_prefix, "/usr/share/fonts", "/proc/self", "/dev", "/etc/mime")
    allowed = tuple(str(path) for path in (*own, *python))
    found = re.findall(r'open\w*\((?:[^,"]*, )?"([^"]*)"', log.read_text())
    assert found, "the tracer saw nothing"
    strange = {path for path in found if path.startswith("/") and not path.startswith(allowed)}
    return [path for path in strange if not WATCHED.fullmatch(path)]
