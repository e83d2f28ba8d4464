"""Archives with any bytes changed are read or refused in words: no other error, and no hang."""

import gzip
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.ingest.refusal import Unusable
from tests.support.format_seeds import ARCHIVES, FILES
from tests.support.packed_pictures import Entry, source_of, zip_bytes

LONGEST = 5.0
"""Seconds, on a machine that has other things to do."""
NAMES = st.sampled_from(sorted(ARCHIVES))
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2**20),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\xff" * 4, b"\xff" * 8, bytes(4), bytes(8), b"PK\5\6", b"PK\1\2"]),
            st.sampled_from([b"99999999999\0", b"-0000000001", b"\x80" + bytes(7) + b"\xff" * 4]),
        ),
    ),
    max_size=6,
)
LABELS = st.sampled_from([None, "path", "parent", {"pattern": r"(\d)\."}, {"column": "label"}])


def changed(seed: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    data = bytearray(seed)
    for place, new in changes:
        at = place % len(data)
        data[at : at + len(new)] = new
    return bytes(data)


def read_all(data: bytes, label: object) -> None:
    """Read an archive to its end, or see it refused in words."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        try:
            for block in source_of(path, label=label).blocks():
                assert len(block.rows) == len(block.images) == len(block.labels)
        except Unusable as exc:
            refused = exc.flaws
        else:
            refused = ()
    assert all(flaw.code and flaw.detail for flaw in refused)
    assert time.process_time() - start < LONGEST


anything = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


@anything
@given(NAMES, CHANGES, LABELS)
def test_changed_bytes(name: str, changes: list[tuple[int, bytes]], label: object) -> None:
    read_all(changed(ARCHIVES[name], changes), label)


@anything
@given(NAMES, st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 2**20))
def test_bytes_that_are_missing_or_moved(name: str, start: int, end: int, to: int) -> None:
    seed = ARCHIVES[name]
    first, last = sorted((start % len(seed), end % len(seed)))
    rest = seed[:first] + seed[last:]
    at = to % (len(rest) + 1)
    read_all(rest, None)
    read_all(rest[:at] + seed[first:last] + rest[at:], None)


@anything
@given(st.sampled_from(["gnu tar", "pax tar"]), CHANGES, CHANGES)
def test_changed_bytes_inside_and_outside_of_gzip(
    name: str, inside: list[tuple[int, bytes]], outside: list[tuple[int, bytes]]
) -> None:
    packed = gzip.compress(changed(ARCHIVES[name], inside), 1)
    read_all(packed, None)
    read_all(changed(packed, outside), None)


ENTRIES = st.lists(
    st.builds(
        Entry,
        name=st.one_of(st.sampled_from([name.encode() for name in FILES]), st.binary(max_size=20)),
        data=st.sampled_from(list(FILES.values())),
        size=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        packed=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        method=st.sampled_from([0, 8, 14]),
        flags=st.sampled_from([0, 8, 0x800]),
        attributes=st.integers(0, 2**32 - 1),
        start=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        extra=st.binary(max_size=30),
        crc=st.one_of(st.none(), st.just(7)),
    ),
    max_size=4,
)


@anything
@given(ENTRIES, st.one_of(st.none(), st.integers(0, 0xFFFF)), st.binary(max_size=30))
def test_directories_that_say_anything(
    entries: list[Entry], count: int | None, comment: bytes
) -> None:
    read_all(zip_bytes(entries, count=count, comment=comment), None)
