"""Tests that arrays, tables, JSON lines and Parquet are read or refused, whatever is in them.

Valid files are changed at random: bytes replaced, parts cut out, doubled or overwritten.
"""

import gzip
import json
import tempfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.arrays import array_source
from service.ingest.file_kind import HEAD_BYTES, kind_of
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable
from service.ingest.source import Reader, UploadedFile
from service.ingest.tables import json_lines, parquet, table_files
from tests.support.format_seeds import (
    ARRAYS,
    HAS_PYARROW,
    LABELS,
    PAIRS,
    TABLES,
    lines,
    parquet_files,
)
from tests.support.ingest_files import idx

LIMITS = Limits(rows=1000, pixel_bytes=10**6, unpacked_bytes=10**7)
MOST_MEMORY = 60 * 1024**2
"""Bytes: two pieces of an array in the order of Fortran, of which each has half of that at most."""
edits = st.lists(
    st.tuples(
        st.sampled_from(["replace", "cut", "double", "fill"]),
        st.floats(0, 1),
        st.integers(1, 40),
        st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=4,
)
"""What to do, where (as a share of the length), to how many bytes, and with which ones."""


def changed(data: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    for what, share, count, some in changes:
        at = int(share * len(data))
        if what == "replace":
            data = data[:at] + some + data[at + len(some) :]
        elif what == "cut":
            data = data[:at] + data[at + count :]
        elif what == "double":
            data = data[:at] + data[at : at + count] + data[at:]
        else:
            data = data[:at] + some[:1] * count + data[at + count :]
    return data


def read_or_refused(read: Reader, options: IngestOptions, *files: tuple[str, bytes]) -> None:
    """Read all rows of files, which may be refused and do nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        uploaded = [UploadedFile(Path(folder) / name, name) for name, _ in files]
        for file, (_, data) in zip(uploaded, files, strict=True):
            file.path.write_bytes(data)
        flaws = flaws_of(read, options, uploaded)
    assert len(flaws) <= MOST_FLAWS
    assert all(flaw.code and flaw.detail for flaw in flaws)


def flaws_of(read: Reader, options: IngestOptions, files: Sequence[UploadedFile]) -> Sequence[Flaw]:
    try:
        for file in files:
            kind_of(file.path.read_bytes()[:HEAD_BYTES])
        source = read(files, options, LIMITS)
        rows = 0
        for block in source.blocks():
            rows += len(block.rows)
            assert len(block.images) == len(block.labels) == len(block.splits) == len(block.rows)
            assert all(block.labels)
            source.place(block.rows[-1])
        assert rows <= LIMITS.rows
    except Unusable as exc:
        return exc.flaws
    return []


fuzzed = settings(max_examples=100, deadline=None)
forms = st.sampled_from([None, "vector"]).map(lambda form: IngestOptions(input=form))


@fuzzed
@given(st.sampled_from(sorted(ARRAYS)), edits, forms)
def test_archives_of_arrays(
    name: str, changes: list[tuple[str, float, int, bytes]], options: IngestOptions
) -> None:
    data = changed(ARRAYS[name], changes)
    read_or_refused(array_source.read, options, ("a.npz", data))


@fuzzed
@given(st.sampled_from(sorted(PAIRS)), st.booleans(), edits, forms)
def test_pairs_of_files_of_arrays(
    name: str,
    is_image: bool,
    changes: list[tuple[str, float, int, bytes]],
    options: IngestOptions,
) -> None:
    images, labels = PAIRS[name]
    if is_image:
        images = changed(images, changes)
    else:
        labels = changed(labels, changes)
    read_or_refused(array_source.read, options, ("images", images), ("labels", labels))


@fuzzed
@given(st.sampled_from(sorted(TABLES)), edits, forms)
def test_tables(
    name: str, changes: list[tuple[str, float, int, bytes]], options: IngestOptions
) -> None:
    data = changed(TABLES[name], changes)
    read_or_refused(table_files.read, options, ("a.csv", data))


@fuzzed
@given(st.text(alphabet='0123456789,;\t|.-" \n\r\0abeElx_', max_size=300), forms)
def test_texts_of_the_characters_of_tables(text: str, options: IngestOptions) -> None:
    read_or_refused(table_files.read, options, ("a.csv", text.encode()))


@fuzzed
@given(edits, forms)
def test_json_lines(changes: list[tuple[str, float, int, bytes]], options: IngestOptions) -> None:
    read_or_refused(json_lines.read, options, ("a.jsonl", changed(lines(), changes)))


@fuzzed
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda it: st.lists(it, max_size=3) | st.dictionaries(st.text(max_size=3), it, max_size=3),
        max_leaves=8,
    ),
    st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers()),
    forms,
)
def test_json_lines_of_any_values(image: object, label: object, options: IngestOptions) -> None:
    line = json.dumps({"image": image, "label": label}).encode() + b"\n"
    read_or_refused(json_lines.read, options, ("a.jsonl", line * 3))


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow of the extra [parquet] is not installed")
@fuzzed
@given(st.sampled_from(["pixels", "plain", "pictures", "groups"]), edits)
def test_parquet(name: str, changes: list[tuple[str, float, int, bytes]]) -> None:
    data = changed(parquet_files()[name], changes)
    read_or_refused(parquet.read, IngestOptions(), ("a.parquet", data))


@pytest.mark.parametrize("lengths", [(2**31, 1, 1), (1, 2**31, 2**31), (2**32 - 1,) * 3])
@pytest.mark.parametrize("packed", [False, True])
def test_lengths_of_any_size_take_no_memory(lengths: tuple[int, int, int], packed: bool) -> None:
    data = b"\0\0\x08\x03" + np.array(lengths, ">u4").tobytes() + bytes(100)
    tracemalloc.start()
    try:
        read_or_refused(
            array_source.read,
            IngestOptions(),
            ("images", gzip.compress(data) if packed else data),
            ("labels", idx(LABELS)),
        )
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
