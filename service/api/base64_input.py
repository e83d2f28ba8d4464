"""Reads files out of base64 as programs write it: in lines, URL-safe, unpadded, as a data URL."""

import binascii
import re
from urllib.parse import unquote_to_bytes

from service.domain.errors import BadImage
from service.inference import image_decoding

MAX_CHARACTERS = image_decoding.MAX_IMAGE_BYTES * 4 // 3 + 4
MAX_PERCENTS = 250_000
"""The most bytes that may be percent-encoded; decoding a million takes a second."""
LOOKS_LIKE = re.compile(rb"[A-Za-z0-9+/_-]{40}")
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
STANDARD = bytes.maketrans(b"-_", b"+/")
BLANKS = b" \t\n\v\f\r\x1c\x1d\x1e\x1f"
OTHER_BLANKS = "\x85\xa0\u2028\u2029\u202f\u3000\ufeff"


def is_text_of_a_file(data: bytes) -> bool:
    """Return whether a text is a data URL or begins like base64 of a file."""
    start = data[:200].lstrip()
    return start[:5].lower() == b"data:" or bool(LOOKS_LIKE.match(b"".join(start.split())))


def decoded(text: str) -> bytes:
    """Return the bytes in a base64 text or a data URL.

    Raises:
        BadImage: invalid_base64, or too_many_bytes.

    """
    if text[:99].lstrip()[:5].lower() == "data:":
        head, comma, payload = text.partition(",")
        if not comma:
            raise _invalid("the data URL has no comma in front of its data")
        if not head.lower().rstrip().endswith(";base64"):
            return unquoted(payload.encode("utf-8", "replace"))
        text = payload
        if "%" in payload:
            text = unquoted(payload.encode("utf-8", "replace")).decode("latin-1")
    try:
        if len(text) <= MAX_CHARACTERS:
            return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):  # it is not in the strict form, or not ASCII
        pass
    return _leniently(text)


def unquoted(data: bytes) -> bytes:
    """Return percent-encoded bytes as they were."""
    if data.count(b"%") > MAX_PERCENTS:
        raise BadImage(
            "too_many_bytes",
            f"More than {MAX_PERCENTS:,} bytes are percent-encoded; send the file unchanged, with "
            "curl by --data-binary.",
        )
    return unquote_to_bytes(data)


def _leniently(text: str) -> bytes:
    """Read base64 in any alphabet, with white space anywhere and with padding or without.

    It is read as bytes: in a text of many megabytes, each piece between blanks would be an object.
    """
    encoded = _as_ascii(text)
    compact = encoded.translate(STANDARD, BLANKS)
    if len(compact) > MAX_CHARACTERS:
        raise image_decoding.too_many_bytes()
    compact = compact.rstrip(b"=")
    if wrong := compact.translate(None, ALPHABET):
        raise _invalid(_about(encoded.translate(STANDARD).index(wrong[:1]), text))
    if len(compact) % 4 == 1:
        raise _invalid("its length shows that a part is missing; send the whole text")
    return binascii.a2b_base64(compact + b"=" * (-len(compact) % 4))


def _as_ascii(text: str) -> bytes:
    """Return a text of the same length, with `?` for each character that base64 can't have."""
    if not text.isascii():
        for blank in OTHER_BLANKS:
            text = text.replace(blank, " ")
    return text.encode("ascii", "replace")


def _about(place: int, text: str) -> str:
    if re.match(r"\s*[a-z]+://", text):
        return "it is an address, and the service fetches nothing; send the file itself"
    character = text[place]
    if character == "=":
        return "there is padding ('=') in the middle; send one file in each text"
    shown = repr(character) if character.isprintable() else "a character that can't be shown"
    return f"character {place + 1:,} is {shown}"


def _invalid(why: str) -> BadImage:
    return BadImage("invalid_base64", f"the text is not valid base64: {why}.")
