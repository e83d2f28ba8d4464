"""Unpacks gzip and deflate piece by piece, with bounded memory and time."""

import zlib
from collections.abc import Iterator

PIECE_BYTES = 64 * 1024
MAX_MEMBERS = 1000
"""Most members of a gzip file; each of them takes more time than its bytes."""
MAX_EXPANSION_BYTES = 64 * 1024
"""How much longer than twice its content a packed body may be. Parts that hold nothing would
otherwise take time without ever reaching the limit of the content."""
GZIP_START = b"\x1f\x8b"
GZIP_BITS, ZLIB_BITS, RAW_BITS = 31, 15, -15
"""Values of `wbits` with which zlib reads the three formats."""


class NotUnpackable(ValueError):
    """Raised for bytes that can't be unpacked; its text says why."""


class Unpacker:
    """Unpacks one body: the members of a gzip file, or deflate with or without zlib's header."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._packed = b""
        """What has been received and not unpacked yet."""
        self._inflate = zlib.decompressobj()
        self._in_member = False
        self._members = 0
        self._unpacked_from = self._unpacked_to = 0
        """Numbers of bytes."""

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what the next part of the packed body holds, in pieces of PIECE_BYTES at most.

        Raises:
            NotUnpackable: it is not what the coding says, or holds too little for its size.

        """
        self._packed += packed
        may_have_more = False
        # Two bytes tell the format.
        while may_have_more or len(self._packed) > (0 if self._in_member else 1):
            piece = self._next_piece()
            may_have_more = self._in_member and len(piece) == PIECE_BYTES
            if self._unpacked_from > 2 * self._unpacked_to + MAX_EXPANSION_BYTES:
                raise NotUnpackable("it is much longer than what it holds")
            if piece:
                yield piece

    def check_end(self) -> None:
        """Check that the body may end here.

        Raises:
            NotUnpackable: it ends too early, or something comes after its end.

        """
        if self._in_member or (self._packed and not self._members):
            raise NotUnpackable("it ends too early")
        if self._packed:
            raise self._has_more()

    def _next_piece(self) -> bytes:
        if not self._in_member:
            self._begin_member()
        packed = self._packed
        try:
            piece = self._inflate.decompress(packed, PIECE_BYTES)
        except zlib.error as exc:
            raise NotUnpackable(f"it is damaged ({exc})") from exc
        self._in_member = not self._inflate.eof
        inflate = self._inflate
        self._packed = inflate.unconsumed_tail if self._in_member else inflate.unused_data
        self._unpacked_from += len(packed) - len(self._packed)
        self._unpacked_to += len(piece)
        return piece

    def _begin_member(self) -> None:
        is_next = self._coding == "gzip" and self._packed.startswith(GZIP_START)
        if self._members and not is_next:
            raise self._has_more()
        if self._members == MAX_MEMBERS:
            raise NotUnpackable(f"it has more than {MAX_MEMBERS:,} members")
        if self._coding == "gzip" and not is_next:
            raise NotUnpackable("it does not begin with the bytes 1F 8B")
        self._members += 1
        self._inflate = zlib.decompressobj(self._window_bits())
        self._in_member = True

    def _window_bits(self) -> int:
        if self._coding == "gzip":
            return GZIP_BITS
        # HTTP's deflate has zlib's header (RFC 9110, 8.4.1.2), which some clients leave out.
        is_zlib = self._packed[0] & 15 == 8 and int.from_bytes(self._packed[:2]) % 31 == 0
        return ZLIB_BITS if is_zlib else RAW_BITS

    def _has_more(self) -> NotUnpackable:
        return NotUnpackable("other bytes come after its end")
