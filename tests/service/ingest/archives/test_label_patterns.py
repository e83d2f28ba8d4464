"""Patterns of clients find labels in paths, and can't hold a checker."""

import time

import pytest

from service.ingest.archives.label_patterns import labels_by_pattern
from service.ingest.refusal import Unusable


def test_the_group_of_a_pattern_is_the_label() -> None:
    assert labels_by_pattern("^([a-z]+)_", ["cat_1.png", "9.png", "dog_2.png"]) == [
        "cat",
        "",
        "dog",
    ]


@pytest.mark.parametrize("pattern", ["((?:a+)+)b", "((?:a|aa)+)$", "((?:.*a){25})b"])
def test_a_pattern_that_would_never_end_is_refused_within_seconds(pattern: str) -> None:
    before = time.process_time()
    with pytest.raises(Unusable, match="takes more than 5 seconds") as refused:
        labels_by_pattern(pattern, ["b.png", "a" * 60 + ".png"])
    assert "aaa" in str(refused.value)
    assert 4 < time.process_time() - before < 8


@pytest.mark.parametrize("pattern", ["(", "none", "(a)(b)", "(a{99999999999})"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(Unusable, match="pattern"):
        labels_by_pattern(pattern, ["a.png"])
