"""Unpacking gzip and deflate: every form of them, and what only looks like one."""

import gzip
import random
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest

from service.server.unpacking import PIECE_BYTES, NotUnpackable, Unpacker

TEXT = b'{"inputs": [{"dataset": "mnist", "index": 7}]}'
NOISE = random.Random(7).randbytes(300_000)


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(data) + packer.flush()


def with_name(data: bytes) -> bytes:
    """Return a gzip member that says what its file was called, as the gzip program does."""
    packed = gzip.compress(data)
    return packed[:3] + b"\x08" + packed[4:10] + b"body.json\0" + packed[10:]


def unpacked(coding: str, parts: Iterable[bytes]) -> list[bytes]:
    unpacker, pieces = Unpacker(coding), list[bytes]()
    for part in parts:
        pieces += unpacker.unpack(part)
    unpacker.check_end()
    return pieces


def in_parts(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


FORMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip, stored": ("gzip", lambda data: gzip.compress(data, 0)),
    "gzip with a name": ("gzip", with_name),
    "gzip of two members": ("gzip", lambda it: gzip.compress(it[:9]) + gzip.compress(it[9:])),
    "zlib": ("deflate", zlib.compress),
    "zlib, fastest": ("deflate", lambda data: zlib.compress(data, 1)),
    "raw deflate": ("deflate", raw_deflate),
    "raw deflate, stored": ("deflate", lambda data: raw_deflate(data, 0)),
}


@pytest.mark.parametrize("size", [1, 2, 7, 65_536, 10**9])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_unpacked_in_parts_of_any_size(form: str, size: int) -> None:
    coding, pack = FORMS[form]
    for data in (b"", b"{}", TEXT, bytes(70_000)):
        assert b"".join(unpacked(coding, in_parts(pack(data), size))) == data


@pytest.mark.parametrize("form", FORMS)
def test_pieces_are_small_and_none_is_lost_at_their_borders(form: str) -> None:
    coding, pack = FORMS[form]
    for length in (PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 4 * PIECE_BYTES, 300_000):
        for data in (NOISE[:length], bytes(length)):
            pieces = unpacked(coding, [pack(data)])
            assert b"".join(pieces) == data
            assert max(map(len, pieces)) <= PIECE_BYTES


def test_nothing_at_all_is_an_empty_body() -> None:
    assert unpacked("gzip", []) == unpacked("deflate", [b""]) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_body_that_ends_too_early_is_refused_wherever_that_is(form: str) -> None:
    coding, pack = FORMS[form]
    whole = pack(TEXT)
    border = len(gzip.compress(TEXT[:9])) if "two" in form else 0
    for length in set(range(1, len(whole))) - {border}:
        with pytest.raises(NotUnpackable, match=r"too early|other bytes"):
            unpacked(coding, [whole[:length]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rest", [b"\0", b"x", b"garbage", TEXT, b"\x1f"])
def test_bytes_after_the_end_are_refused(form: str, rest: bytes) -> None:
    coding, pack = FORMS[form]
    with pytest.raises(NotUnpackable, match="after its end"):
        unpacked(coding, [pack(TEXT) + rest])


def test_what_is_no_gzip_is_refused_with_the_bytes_that_are_missing() -> None:
    for data in (TEXT, zlib.compress(TEXT), b"PK\3\4"):
        with pytest.raises(NotUnpackable, match="1F 8B"):
            unpacked("gzip", [data])


def test_a_changed_byte_is_noticed() -> None:
    packed = bytearray(gzip.compress(NOISE))
    packed[-6] ^= 1  # in the checksum
    with pytest.raises(NotUnpackable, match="damaged"):
        unpacked("gzip", [bytes(packed)])
    with pytest.raises(NotUnpackable, match="damaged"):
        unpacked("deflate", [b"\x78\x9c" + TEXT])


def test_changed_bytes_never_raise_anything_else() -> None:
    chance, survived = random.Random(3), 0
    for _ in range(3000):
        data = bytearray(gzip.compress(TEXT * chance.randrange(1, 9)))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for coding in ("gzip", "deflate"):
            with suppress(NotUnpackable):
                unpacked(coding, in_parts(bytes(data), chance.randrange(1, 99)))
                survived += 1
    assert survived < 300


def test_a_body_of_too_many_members_is_refused() -> None:
    member = gzip.compress(b"x" * 100)
    assert len(b"".join(unpacked("gzip", [member * 1000]))) == 100_000
    with pytest.raises(NotUnpackable, match="1,000 members"):
        unpacked("gzip", [member * 1001])


def test_a_body_that_holds_next_to_nothing_is_refused() -> None:
    stored_blocks_of_nothing = b"\0\0\0\xff\xff" * 20_000
    with pytest.raises(NotUnpackable, match="longer than what it holds"):
        unpacked("deflate", [stored_blocks_of_nothing])


def test_a_client_that_flushes_often_is_read() -> None:
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in in_parts(NOISE, 9)]
    assert b"".join(unpacked("gzip", [*parts, packer.flush()])) == NOISE
