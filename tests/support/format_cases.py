"""Checks uploads of any bytes, and asserts what must hold for each of them.

A case is a byte that chooses the options, and then the file. Where pixels and labels are in files
of their own, two bytes with the length of the first file go before both.
"""

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.domain.dataset_manifest import ContentDigest, InputForm, Manifest, Resize
from service.ingest.check import MANIFEST_NAME, Checked, Failed, check
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions, SplitOption
from service.ingest.refusal import MOST_FLAWS
from service.ingest.source import UploadedFile
from tests.support.format_seeds import (
    ARCHIVES,
    ARRAYS,
    HAS_PYARROW,
    PAIRS,
    PICTURES,
    TABLES,
    lines,
    parquet_files,
)
from tests.support.packed_pictures import Entry, picture, zip_bytes

ACCEPTED = "accepted"
OPTIONS = (
    IngestOptions(),
    IngestOptions(input="vector"),
    IngestOptions(color="keep", size=(8, 8)),
    IngestOptions(normalize=True),
    IngestOptions(label={"column": "label"}),
    IngestOptions(label={"pattern": r"(\d)\."}),
    IngestOptions(split=SplitOption(0.5)),
    IngestOptions(range=(0, 1)),
    IngestOptions(transpose=True, invert=True),
    IngestOptions(deduplicate=True, resize=Resize.STRETCH, size=(4, 3)),
    IngestOptions(split="none", classes=("a", "b")),
    IngestOptions(input="digit", resize=Resize.REFUSE),
)
PACKED = 0x80
"""The bit of the first byte by which a file is packed with gzip before it is sent."""
BESIDE = [
    Entry(b"train/b/2.png", picture(2, 8, 8)),
    Entry(b"test/a/3.png", picture(3, 8, 8)),
    Entry(b"test/b/4.png", picture(4, 8, 8)),
]
TAR_BLOCK, TAR_CHECKSUM, TAR_MAGIC = 512, slice(148, 156), slice(257, 262)


@dataclass(frozen=True)
class Format:
    """One of the formats in which a data set may come."""

    seeds: tuple[tuple[bytes, ...], ...]
    """Valid uploads, of one or two files."""
    names: tuple[str, ...]
    is_picture: bool = False
    """Whether the file is put into an archive, beside pictures that can be read."""
    is_tar: bool = False
    """Whether the sums in its headers are corrected, which no change at random gets right."""

    def cases(self) -> Iterator[bytes]:
        """Yield the seeds as cases."""
        for at, files in enumerate(self.seeds):
            lengths = [len(file).to_bytes(2, "little") for file in files[:-1]]
            yield b"".join([bytes([at]), *lengths, *files])

    def upload(self, case: bytes) -> tuple[IngestOptions, list[bytes]]:
        """Return the options and the files of a case."""
        chosen, rest = (case or b"\0")[0], case[1:]
        files = [rest]
        if len(self.names) == 2:
            end = 2 + int.from_bytes(rest[:2], "little")
            files = [rest[2:end], rest[end:]]
        if self.is_picture:
            files = [zip_bytes([Entry(b"train/a/1.png", rest), *BESIDE])]
        if self.is_tar:
            files = [_with_right_sums(rest)]
        if chosen & PACKED:
            files = [gzip.compress(file, 1) for file in files]
        return OPTIONS[chosen % PACKED % len(OPTIONS)], files


def _of_one(*seeds: bytes) -> tuple[tuple[bytes, ...], ...]:
    return tuple((seed,) for seed in seeds)


FORMATS = {
    "idx": Format((PAIRS["idx"], PAIRS["packed"]), ("images", "labels")),
    "npy": Format((PAIRS["npy"],), ("images.npy", "labels.npy")),
    "npz": Format(_of_one(*ARRAYS.values()), ("a.npz",)),
    "csv": Format(_of_one(*TABLES.values()), ("a.csv",)),
    "json_lines": Format(_of_one(lines()), ("a.jsonl",)),
    "zip": Format(_of_one(ARCHIVES["zip"], ARCHIVES["stored"]), ("a.zip",)),
    "tar": Format(_of_one(ARCHIVES["gnu tar"], ARCHIVES["pax tar"]), ("a.tar",), is_tar=True),
    "picture": Format(_of_one(*PICTURES.values()), ("a.zip",), is_picture=True),
}
if HAS_PYARROW:
    FORMATS["parquet"] = Format(_of_one(*parquet_files().values()), ("a.parquet",))


def _with_right_sums(data: bytes) -> bytes:
    changed = bytearray(data)
    for at in range(0, len(data) - TAR_BLOCK + 1, TAR_BLOCK):
        block = changed[at : at + TAR_BLOCK]
        if block[TAR_MAGIC] == b"ustar":
            block[TAR_CHECKSUM] = b" " * 8
            block[TAR_CHECKSUM] = b"%06o\0 " % sum(block)
            changed[at : at + TAR_BLOCK] = block
    return bytes(changed)


def outcome_of(form: Format, case: bytes) -> str:
    """Check a case; return `accepted`, or the code of the first flaw.

    Raises:
        AssertionError: what was refused has no reason, or what was accepted is no data set.

    """
    options, contents = form.upload(case)
    with tempfile.TemporaryDirectory() as name:
        sent, folder = Path(name), Path(name) / "set"
        folder.mkdir()
        files = [UploadedFile(sent / each, each) for each in form.names]
        for file, data in zip(files, contents, strict=True):
            file.path.write_bytes(data)
        try:
            checked = check(files, options, folder, Limits(), lambda *_: None)
        except Failed as exc:
            _assert_is_told(exc)
            return exc.flaws[0].code
        _assert_is_whole(checked, folder)
    return ACCEPTED


def _assert_is_told(refusal: Failed) -> None:
    assert 1 <= len(refusal.flaws) <= MOST_FLAWS
    for flaw in refusal.flaws:
        assert re.fullmatch(r"[a-z_]+", flaw.code), flaw.code
        assert flaw.detail
        str(flaw).encode()  # a database takes no other text
    assert refusal.report["errors"]
    json.dumps(refusal.report, allow_nan=False).encode()


def _assert_is_whole(checked: Checked, folder: Path) -> None:
    """Compare the manifest of a set with its files."""
    manifest = checked.manifest
    assert Manifest.from_record(json.loads((folder / MANIFEST_NAME).read_text())) == manifest
    json.dumps([checked.report, checked.options], allow_nan=False).encode()
    assert 0 < len(set(manifest.classes)) == len(manifest.classes) <= Limits.classes
    assert all(manifest.classes)
    assert {"train", "test"} <= set(manifest.class_counts)
    assert manifest.rows["train"]
    digest = ContentDigest(manifest.shape, manifest.classes, manifest.rows)
    for split in ("train", "validation", "test"):
        if split in manifest.class_counts:
            _assert_is_split(manifest, split, folder, digest)
    assert digest.hexdigest() == manifest.sha256
    if manifest.input == InputForm.VECTOR:
        assert len(manifest.columns) == manifest.n_in
        assert all(np.isfinite([it.low, it.high]).all() for it in manifest.columns)
        assert all(it.low <= it.high for it in manifest.columns)
    elif manifest.input == InputForm.DIGIT:
        assert manifest.shape == (28, 28)


def _assert_is_split(manifest: Manifest, split: str, folder: Path, digest: ContentDigest) -> None:
    counts = list(manifest.class_counts[split])
    images = np.load(folder / f"{split}.images.npy")
    labels = np.load(folder / f"{split}.labels.npy")
    assert images.shape == (sum(counts), manifest.n_in)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels, minlength=len(manifest.classes)).tolist() == counts
    digest.update(images.tobytes())
    digest.update(labels.tobytes())
