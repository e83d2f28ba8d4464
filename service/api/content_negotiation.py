"""What a client accepts, by its headers `Accept` and `Accept-Encoding`."""

from collections.abc import Mapping

OCTETS = "application/octet-stream"


def accepts(headers: Mapping[str, str], media_type: str) -> bool:
    """Return whether a client names this media type, and not merely accepts everything."""
    accepted = headers.get("accept", "").lower()
    if media_type not in accepted:
        return False
    return media_type in (each.split(";")[0].strip() for each in accepted.split(","))


def accepts_gzip(headers: Mapping[str, str]) -> bool:
    """Return whether a client names gzip in `Accept-Encoding` and does not refuse it by `q=0`."""
    for each in headers.get("accept-encoding", "").lower().split(","):
        coding, _, quality = (part.strip() for part in each.partition(";"))
        if coding == "gzip":
            return not quality or quality.removeprefix("q=").strip("0.") != ""
    return False


def type_for(headers: Mapping[str, str], media_type: str) -> str:
    """Return the media type under which to send a file: its own, or the general one on request.

    Generators of clients know no picture or archive as bytes, so the OpenAPI document offers every
    file as application/octet-stream too.
    """
    own = media_type.split(";")[0]
    general = accepts(headers, OCTETS) and not accepts(headers, own)
    return OCTETS if general else media_type
