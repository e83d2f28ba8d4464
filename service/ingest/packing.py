"""How files may be packed in an archive, or in a file of arrays: methods, and how tightly."""

from service.ingest.refusal import unusable

ENCRYPTED, STORED, DEFLATED = 0x1, 0, 8
OTHER_METHODS = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    93: "Zstandard",
    95: "XZ",
    98: "PPMd",
    99: "AES",
}
MAX_RATIO = 200
RATIO_FROM_BYTES = 64 * 1024**2
"""Small files may be packed more tightly than this ratio: a blank picture is."""


def refuse_unreadable(flags: int, method: int, place: str) -> None:
    """Refuse a member of a zip file that is encrypted or packed by a method that is not read.

    Raises:
        Unusable: it is.

    """
    if flags & ENCRYPTED:
        raise unusable("encrypted", "It is encrypted.", place, "Pack it without a password.")
    if method not in (STORED, DEFLATED):
        known = OTHER_METHODS.get(method, f"method {method}")
        raise unusable(
            "not_read",
            f"It is packed with {known}.",
            place,
            "Pack it with Deflate, the usual method.",
        )


def refuse_bomb(packed: int, unpacked: int) -> None:
    """Refuse bytes that become so many that they can't be data.

    Raises:
        Unusable: they do.

    """
    if unpacked > RATIO_FROM_BYTES and unpacked > MAX_RATIO * packed:
        raise unusable(
            "too_large",
            f"Its {packed:,} bytes become {unpacked:,} or more; no data set is packed so tightly.",
        )
