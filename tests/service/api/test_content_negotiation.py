"""What a client accepts, by its headers."""

import pytest

from service.api.content_negotiation import accepts_gzip


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("", False),
        ("x-gzipped", False),
    ],
)
def test_gzip_is_sent_to_whoever_names_it(header: str, accepted: bool) -> None:
    assert accepts_gzip({"accept-encoding": header}) is accepted
