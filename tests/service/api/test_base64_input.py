"""Base64 in every usual spelling."""

import base64
import tracemalloc
from collections.abc import Callable
from urllib.parse import quote

import pytest

from service.api import base64_input
from service.domain.errors import BadImage


@pytest.mark.parametrize(
    "text",
    [
        lambda plain: "\n".join(plain[at : at + 76] for at in range(0, len(plain), 76)),
        lambda plain: plain.replace("+", "-").replace("/", "_"),
        lambda plain: plain.rstrip("="),
        lambda plain: f"  {plain}\r\n",
        lambda plain: f"data:image/png;base64,{plain}\n",
        lambda plain: f" DATA:image/jpeg;charset=utf-8;BASE64, {plain}",
        lambda plain: "data:;base64," + quote(plain),
        lambda plain: "data:image/png," + quote(base64.b64decode(plain)),
    ],
)
def test_base64_is_read_as_programs_write_it(text: Callable[[str], str]) -> None:
    for data in (b"\xfb\xef\xbe" * 40, b"\xff\xfe" * 60, bytes(range(256))):
        assert base64_input.decoded(text(base64.b64encode(data).decode())) == data


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("iVBORw0KGgo*AAAA", "character 12 is '*'"),
        ("AAAAA", "a part is missing"),
        ("AA==AAAA", "padding"),
        ("https://example.org/7.png", "address"),
        ("data:image/png;base64", "comma"),
        ("AAAA\u0000", "can't be shown"),
    ],
)
def test_an_error_in_base64_says_where_it_is(text: str, where: str) -> None:
    with pytest.raises(BadImage, match="not valid base64") as refused:
        base64_input.decoded(text)
    assert refused.value.code == "invalid_base64"
    assert where in str(refused.value)


@pytest.mark.parametrize("blank", ["\xa0", "\u2028", "\ufeff", " ", "\v"])
def test_base64_may_have_any_usual_blanks(blank: str) -> None:
    text = base64.b64encode(bytes(range(99))).decode()
    assert base64_input.decoded(blank + blank.join(text)) == bytes(range(99))


def test_base64_in_millions_of_pieces_takes_little_memory() -> None:
    text = "aa " * 1_000_000
    tracemalloc.start()
    try:
        base64_input.decoded(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * len(text)
