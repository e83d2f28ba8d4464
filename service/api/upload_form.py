"""Reads a multipart form while it arrives: small fields whole, and files in pieces.

The framework's own reader would put whole files into temporary ones first, on another disk perhaps.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import HTTPException
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_PARTS = 16
MAX_NAME_BYTES = 1000
MAX_FIELD_BYTES = 256 * 1024
"""A field that is no file: the name, or the options."""


@dataclass(frozen=True)
class Field:
    """A field of a form that is no file, with all of its bytes."""

    name: str
    value: bytes


@dataclass(frozen=True)
class FileStart:
    """The beginning of a file; its bytes follow."""

    name: str
    """The name of the field."""
    filename: str


@dataclass(frozen=True)
class FileEnd:
    """All bytes of a file have come."""


Event = Field | FileStart | bytes | FileEnd
BROKEN = HTTPException(
    400, "The form can't be read: it breaks off, or its parts are not separated by its boundary."
)


class FormReader:
    """Turns the pieces of a form's body into events."""

    def __init__(self, content_type: str) -> None:
        """Create a reader.

        Raises:
            HTTPException: the header names no boundary.

        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise HTTPException(
                400,
                "Content-Type names no boundary between the parts of the form. Leave the header "
                "out: the library that builds the form sets it.",
            )
        self._events: list[Event] = []
        self._header, self._disposition = b"", b""
        self._value: bytearray | None = None
        """The bytes of a field that is no file."""
        self._name = ""
        self._parts = 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_to_header,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._start,
                    "on_part_data": self._add,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as exc:
            raise BROKEN from exc

    async def events(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Event]:
        """Yield what the pieces of a body hold.

        Raises:
            HTTPException: the body is no form, or breaks off.
            ClientDisconnect: the client left before the end.

        """
        async for piece in pieces:
            try:
                self._parser.write(piece)
            except FormParserError as exc:
                raise BROKEN from exc
            events, self._events = self._events, []
            for event in events:
                yield event
        if not self._ended:
            raise BROKEN

    # --- Callbacks of the parser ---

    def _begin(self) -> None:
        self._disposition = self._header = b""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise HTTPException(422, f"The form has more than {MAX_PARTS} parts; send fewer.")

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition += data[start:end]

    def _end_header(self) -> None:
        self._header = b""

    def _start(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise HTTPException(400, "A part of the form has no name in Content-Disposition.")
        self._name = _text(options[b"name"])
        if b"filename" in options:
            self._value = None
            self._events.append(FileStart(self._name, _text(options[b"filename"])))
        else:
            self._value = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._events.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise HTTPException(
                413,
                f"The field {self._name[:64]!r} is no file and may have {MAX_FIELD_BYTES:,} bytes; "
                "a file has a file name.",
            )

    def _end(self) -> None:
        end = FileEnd() if self._value is None else Field(self._name, bytes(self._value))
        self._events.append(end)

    def _finish(self) -> None:
        self._ended = True


def _text(name: bytes) -> str:
    return name[:MAX_NAME_BYTES].decode("utf-8", "replace")
