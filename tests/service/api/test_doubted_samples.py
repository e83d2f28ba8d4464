"""Sheets of the samples that a report doubts."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.preparation import prepare
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.live_service import Live, settings

KINDS = ("leak", "duplicates", "two_labels", "blank", "rare_class")


def stains() -> dict[str, NDArray[np.uint8]]:
    """Return arrays with planted copies and a blank image; the pixels say the row."""
    rng = np.random.default_rng(4)
    x_train = rng.integers(0, 256, (40, 20, 20), np.uint8)
    x_test = rng.integers(0, 256, (10, 20, 20), np.uint8)
    y_train, y_test = np.arange(40, dtype=np.uint8) % 2, np.arange(10, dtype=np.uint8) % 2
    x_train[38], x_train[17], x_test[5] = x_train[2], x_train[4], x_test[8]
    x_test[6] = x_train[12]
    x_train[20] = 90
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def shown(content: bytes, tiles: int, tile: int = 20) -> list[NDArray[np.uint8]]:
    """Return the pictures in the first row of a sheet."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    gap = 2
    lefts = [gap + (tile + gap) * at for at in range(tiles)]
    return [pixels[gap : gap + tile, left : left + tile] for left in lefts]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Live]:
    place = tmp_path_factory.mktemp("doubted")
    made = settings(place / "data", small_uploads.with_shipped(place / "sets", datasets_dir))
    prepare(made)
    with Live(made) as live:
        for name, options in (("stains", {}), ("whole", {"split": "none"})):
            file = io.BytesIO()
            sent: dict[str, Any] = {
                key: it for key, it in stains().items() if name == "stains" or "train" in key
            }
            np.savez(file, **sent)
            answer = live.http.put(f"/v1/datasets/{name}", content=file.getvalue(), params=options)
            assert answer.status_code == 201, answer.text
        for name in ("stains", "whole"):
            found = live.http.get(f"/v1/datasets/{name}", params={"wait": 60}, timeout=70).json()
            assert found["state"] == "ready", found
        yield live


def sheet(live: Live, name: str = "stains", **query: Any) -> httpx2.Response:
    return live.http.get(f"/v1/datasets/{name}/samples.png", params={"tile": 20, **query})


def test_doubted_samples_are_drawn_before_those_that_they_equal(service: Live) -> None:
    arrays = stains()
    answer = sheet(service, misfit="duplicates")
    assert answer.headers["Content-Type"] == "image/png"
    train = arrays["x_train"]
    for found, row in zip(shown(answer.content, 2), (38, 2), strict=True):
        np.testing.assert_array_equal(found, train[row])
    [copy, first] = shown(sheet(service, misfit="leak").content, 2)
    np.testing.assert_array_equal(copy, arrays["x_test"][6])
    np.testing.assert_array_equal(first, train[12])
    pairs = shown(sheet(service, misfit="two_labels", columns=5).content, 4)
    for found, expected in zip(pairs, (17, 4), strict=False):
        np.testing.assert_array_equal(found, train[expected])
    for found in pairs[2:]:
        np.testing.assert_array_equal(found, arrays["x_test"][8])


def test_a_report_counts_what_is_drawn(service: Live) -> None:
    warnings = service.http.get("/v1/datasets/stains/report").json()["warnings"]
    counts = {it["code"]: it["count"] for it in warnings}
    for misfit in KINDS:
        drawn = [
            sheet(service, misfit=misfit, limit=1, offset=at).status_code == 200 for at in range(5)
        ]
        assert sum(drawn) == counts.get(misfit, 0), misfit


def test_a_page_of_one_split_or_class_is_drawn(service: Live) -> None:
    arrays = stains()
    [blank] = shown(sheet(service, misfit="blank", split="train", label=0).content, 1)
    np.testing.assert_array_equal(blank, arrays["x_train"][20])
    for query in ({"split": "test"}, {"label": 1}, {"offset": 1}):
        check_problem(sheet(service, misfit="blank", **query), 404)
    assert "choose a lower offset" in sheet(service, misfit="blank", offset=1).json()["detail"]


def test_rows_that_are_to_train_and_to_test_on_are_no_copies_of_themselves(service: Live) -> None:
    check_problem(sheet(service, "whole", misfit="leak"), 404)
    assert sheet(service, "whole", misfit="duplicates").status_code == 200


def test_what_can_not_be_drawn_is_refused(service: Live) -> None:
    check_problem(sheet(service, misfit="odd"), 422)
    check_problem(sheet(service, misfit="leak", indices="1"), 422)
    check_problem(sheet(service, misfit="leak", split="validation"), 404)
    check_problem(sheet(service, misfit="leak", label=2), 404)
    check_problem(sheet(service, misfit="leak", tile=256, limit=400), 422)


def test_a_sheet_is_sent_once(service: Live) -> None:
    first = sheet(service, misfit="leak")
    again = service.http.get(str(first.url), headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert sheet(service, misfit="duplicates").headers["ETag"] != first.headers["ETag"]
