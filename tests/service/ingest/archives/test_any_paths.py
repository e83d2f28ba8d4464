"""Whatever the paths of pictures are, each of them has one class or none."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ingest.archives.archive_members import MAX_DEPTH, Member, path_of
from service.ingest.archives.class_folders import MAX_FOLDERS, find
from service.ingest.refusal import Unusable

WORDS = st.sampled_from(["train", "test_set", "Test", "val", "images", "a", "b", "cat", "1", "10"])
PATHS = st.lists(st.lists(WORDS, max_size=5).map(lambda it: "/".join([*it, "1.png"])), max_size=12)
NAMES = st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "", "a", "\\", "C:"])).map(
    "/".join
)


@given(PATHS, st.sampled_from([None, "parent", "path", {"pattern": r"(\w+)/\d"}]))
def test_each_picture_has_one_class_or_none(paths: list[str], label: object) -> None:
    pictures = [Member(number, path, 1) for number, path in enumerate(paths)]
    try:
        found = find(pictures, label)  # type: ignore[arg-type]
    except Unusable as exc:
        code = exc.flaws[0].code
    else:
        code = "ambiguous_classes"
        numbers = [it.member.number for it in found.placed]
        numbers += [it.number for it in found.without_class]
        assert sorted(numbers) == list(range(len(paths)))
        assert all(picture.label for picture in found.placed)
        assert all(path.startswith(found.top) for path in paths if "/" in path)
    assert code == "ambiguous_classes"


@given(NAMES)
def test_a_path_never_leads_out_of_the_archive(name: str) -> None:
    try:
        path = path_of(name)
    except Unusable:
        path = ""
    parts = path.split("/") if path else []
    assert not {"", ".", ".."} & set(parts)
    assert len(parts) <= MAX_DEPTH


@pytest.mark.parametrize(
    "form",
    ["d/train/{0}/{1}.png", "d/{1}/x.png", "test_{1}/a/x.png", "{1}/" + "a/" * 13 + "x.png"],
)
def test_the_time_grows_with_the_number_of_pictures_alone(form: str) -> None:
    paths = (form.format(number % 100, number) for number in range(MAX_FOLDERS))
    pictures = [Member(number, path, 1) for number, path in enumerate(paths)]
    start = time.process_time()
    find(pictures, "path")
    assert time.process_time() - start < 5
