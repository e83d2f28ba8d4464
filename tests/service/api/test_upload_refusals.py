"""Uploads that are refused: their names, their options, their forms and their bodies."""

from typing import Any

import pytest

from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, names, put
from tests.support.live_service import Live


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("[id, filename]", "can't be read as JSON"),
        ("[7]", "must be text"),
        ('["a"', "read as JSON"),
    ],
)
def test_columns_that_are_no_list_of_names_are_refused(
    service: Live, columns: str, said: str
) -> None:
    answer = put(service, "with-brackets", b"a,b\n1,2\n", ignore_columns=columns)
    check_problem(answer, 422)
    [error] = answer.json()["errors"]
    assert "ignore_columns" in (error["pointer"] or "") + (error.get("parameter") or "")
    assert said in error["detail"]


@pytest.mark.parametrize(
    ("name", "hint"), [("My%20Letters", "my-letters"), (".hidden", "hidden"), ("a" * 64, "a" * 63)]
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(
    service: Live, name: str, hint: str
) -> None:
    answer = put(service, name, b"x")
    check_problem(answer, 422)
    assert f"{hint!r} would do" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"tset": 0.2}, "?tset"),
        ({"test": 2}, "?test"),
        ({"size": "28x300"}, "?options/size/1"),
        ({"test": 0.2, "split": "given"}, "?split"),
        ({"options": "[]"}, "?options"),
        ({"options": '{"split": {"test": 2}}'}, "?options/split/test"),
        ({"options": '{"spilt": "given"}'}, "?options/spilt"),
    ],
)
def test_an_option_that_is_not_valid_is_named(
    service: Live, query: dict[str, Any], pointer: str
) -> None:
    answer = put(service, "optional", small_uploads.npz(), **query)
    check_problem(answer, 422)
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert "optional" not in names(service)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ('{"clases": ["a", "b"]}', "did you mean 'classes'?"),
        ('{"label": "paths"}', "did you mean 'path'?"),
        ('{"label": "species"}', 'for example {"column": "digit"} if that is the column of the'),
        ('{"split": "half"}', 'for example {"test": 0.2} to test on a fifth of the rows'),
    ],
)
def test_an_option_that_is_not_valid_has_a_hint(service: Live, options: str, hint: str) -> None:
    answer = put(service, "hinted", small_uploads.npz(), options=options)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["hint"].startswith(hint)


def test_a_form_with_a_wrong_part_is_refused_and_leaves_nothing(service: Live) -> None:
    file = ("file", ("a.npz", small_uploads.npz(seed=8)))
    for data, files, detail in (
        ({"nmae": "form"}, [file], "'nmae'"),
        ({"name": "form"}, [], "no file"),
        ({"options": "{}"}, [file], "`name`"),
        ({"name": "form", "options": '{"size": 0}'}, [file], "#/options/size"),
        ({"name": "form"}, [file] * 9, "8 files"),
    ):
        parts: Any = files or [("name", (None, "form"))]
        answer = service.http.post(SETS, data=data if files else {}, files=parts)
        check_problem(answer, 422)
        assert detail in answer.json()["detail"], detail
    assert "form" not in names(service)


def test_bodies_of_other_kinds_are_refused(service: Live) -> None:
    check_problem(service.http.post(SETS, content=b"x", headers={"Content-Type": "a/b"}), 415)
    check_problem(service.http.post(SETS, json={"name": "x"}), 422)
    form = service.http.put(f"{SETS}/x", files={"file": b"x"})
    check_problem(form, 415)
    check_problem(put(service, "x", b""), 422)
    torn = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    check_problem(service.http.post(SETS, content=torn, headers=headers), 400)


def test_a_form_with_a_field_that_is_too_long_says_which_and_how_long_it_may_be(
    service: Live,
) -> None:
    fields = {"name": "form", "options": "x" * 262_145}
    answer = service.http.post(SETS, data=fields, files={"file": ("a.csv", b"label,p\n")})
    check_problem(answer, 413)
    assert "'options' is no file and may have 262,144 bytes" in answer.json()["detail"]
