"""Time and memory of checking MNIST's 70 000 images in many formats, and a set of a gigabyte.

Each check runs in a process of its own, with the limit of memory that a checker has.
"""

import multiprocessing
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import Figure, figure
from service.ingest.check import check
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import UploadedFile
from service.store.shipped_mnist import MANIFEST
from tests.support.drawn_digits import mnist, mnist_labels
from tests.support.image_formats import FORMATS, SplitImages

ADDRESS_SPACE = 1024**3
MOST_MEMORY = 300
"""MB."""
SECONDS: Mapping[str, float] = {
    "IDX": 1,
    "CSV": 3,
    "a zip file of PNGs in class folders": 12,
}
ROWS, SIDE = 1_000_000, 32


@dataclass(frozen=True)
class Alone:
    """What a check in a process of its own has taken."""

    seconds: float
    """Processor time, because other processes may use the machine too."""
    memory: float
    """MB, at its peak."""
    sha256: str
    longest_silence: float
    """Seconds between two reports of progress."""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as place:
        figures = [part for form in FORMATS for part in _format(form, Path(place) / "data")]
        return [*figures, *_gigabyte(Path(place) / "data")]


def _format(form: str, folder: Path) -> list[Figure]:
    folder.mkdir()
    train, test = (
        SplitImages(name, mnist(file), mnist_labels(file).astype(np.uint8))
        for name, file in (("train", "train"), ("test", "t10k"))
    )
    paths = FORMATS[form](folder, (train, test))
    taken = alone(paths)
    size = sum(path.stat().st_size for path in paths) / 1e6
    shutil.rmtree(folder)
    note = f"{size:.0f} MB; the digest of MNIST"
    if taken.sha256 != MANIFEST.sha256:
        raise AssertionError(f"{form} has the digest {taken.sha256}, and not that of MNIST")
    return [
        figure(f"MNIST as {form}", taken.seconds, "s", at_most=SECONDS.get(form), note=note),
        figure(f"memory, MNIST as {form}", taken.memory, "MB", at_most=MOST_MEMORY),
    ]


def _gigabyte(folder: Path) -> list[Figure]:
    folder.mkdir()
    draw = np.random.default_rng(0)
    images = np.lib.format.open_memmap(folder / "x_train.npy", "w+", np.uint8, (ROWS, SIDE, SIDE))
    for start in range(0, ROWS, 10_000):
        images[start : start + 10_000] = draw.integers(0, 200, (10_000, SIDE, SIDE), np.uint8)
    images.flush()
    np.save(folder / "y_train.npy", draw.integers(0, 200, ROWS))
    taken = alone(sorted(folder.glob("*.npy")))
    shutil.rmtree(folder)
    what = f"{ROWS:,} images of {SIDE}x{SIDE}"
    note = f"no progress for {taken.longest_silence:.1f} s at most"
    return [
        figure(what, taken.seconds, "s", note=note),
        figure(f"memory, {what}", taken.memory, "MB", at_most=MOST_MEMORY),
    ]


def alone(paths: list[Path]) -> Alone:
    """Check files in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_check, (paths,))


def _check(paths: list[Path]) -> Alone:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    told = [time.perf_counter()]
    start = time.process_time()
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as folder:
        checked = check(
            [UploadedFile(path, path.name) for path in paths],
            IngestOptions(),
            Path(folder),
            Limits(),
            lambda *_: told.append(time.perf_counter()),
        )
    seconds = time.process_time() - start
    # `ru_maxrss` would count what the process that started this one had.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    memory = int(peak) / 1024
    return Alone(seconds, memory, checked.manifest.sha256, float(np.diff(told).max(initial=0)))
