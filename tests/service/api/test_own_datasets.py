"""Networks of other sets than MNIST read what their set was made of, in every form."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.image_requests import encoded, npy
from tests.support.zoo import FLOWERS, IMAGES, LETTERS, Zoo


def as_sent(zoo: Zoo, name: str, count: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return pictures as they were before ingest, and what is to be answered for them."""
    stored, manifest = zoo.rows(name, count), zoo.sets[name].manifest
    sent = 255 - stored if manifest.invert else stored
    sent = np.swapaxes(sent, 1, 2) if manifest.transpose else sent
    return np.ascontiguousarray(sent), zoo.expected(name, stored)


@pytest.mark.parametrize("name", IMAGES)
def test_arrays_of_every_layout_are_read_by_the_shape_of_the_set(zoo: Zoo, name: str) -> None:
    sent, expected = as_sent(zoo, name)
    flat = sent.reshape(len(sent), -1)
    for array in (sent, flat, sent.astype(np.float64) / 255, flat.astype(">i4")):
        assert zoo.ask(name, npy(array), "application/x-npy") == pytest.approx(expected, abs=1e-5)
    for one in (sent[0], flat[0]):
        found = zoo.ask(name, npy(one), "application/x-npy")
        assert found == pytest.approx(expected[:1], abs=1e-5)
    lines = "\n".join(",".join(map(str, row)) for row in flat.tolist()).encode()
    raw = "application/octet-stream"
    for found in (
        zoo.ask(name, sent.tobytes(), raw),
        zoo.ask(name, sent.astype("<f4").tobytes(), raw, dtype="float32"),
        zoo.ask(name, lines, "text/csv"),
        zoo.ask(
            name,
            b"label,"
            + b",".join([b"p"] * flat.shape[1])
            + b"\n"
            + b"0,"
            + lines.replace(b"\n", b"\n0,"),
            "text/csv",
        ),
    ):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", IMAGES)
def test_files_and_numbers_in_json_are_read_by_the_shape_of_the_set(zoo: Zoo, name: str) -> None:
    sent, expected = as_sent(zoo, name)
    for picture, probabilities in zip(sent, expected, strict=True):
        found = zoo.ask(name, encoded(picture), "image/png")
        assert found == pytest.approx(probabilities[None], abs=1e-5)
    forms = [
        {"pixels": sent[0].tolist()},
        {"pixels": sent[0].ravel().tolist()},
        {"values": (sent[0] / 255).tolist()},
    ]
    for prediction in zoo.ask_json(name, {"inputs": forms, "return": ["probabilities"]}):
        assert prediction["probabilities"] == pytest.approx(expected[0], abs=1e-5)
    for body in ({"instances": sent.tolist()}, sent.tolist()):
        labels = [it["label"] for it in zoo.ask_json(name, body)]
        assert labels == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("name", IMAGES)
def test_with_normalize_never_pixels_are_those_that_are_stored(zoo: Zoo, name: str) -> None:
    stored = zoo.rows(name, 2)
    expected = zoo.expected(name, stored)
    for body, media_type in ((npy(stored), "application/x-npy"), (encoded(stored[0]), "image/png")):
        found = zoo.ask(name, body, media_type, normalize="never")
        assert found == pytest.approx(expected[: len(found)], abs=1e-5)
    larger = np.repeat(stored[0], 2, axis=1)
    refused = zoo.post(name, encoded(larger), "image/png", normalize="never")
    check_problem(refused, 422)
    height, width = stored.shape[1:3]
    assert f"{width}x{height} are needed" in refused.json()["detail"]
    always = zoo.post(name, encoded(larger), "image/png", normalize="always")
    check_problem(always, 422)
    assert always.json()["errors"][0]["pointer"] == "?normalize"


@pytest.mark.parametrize("name", ["signs", "colours", "flowers", "letters"])
def test_a_sample_is_read_as_it_is_stored(zoo: Zoo, name: str) -> None:
    sha256 = zoo.sets[name].manifest.sha256
    inputs = [
        {"dataset": name, "index": 1},
        {"dataset": f"{name}@sha256:{sha256}", "index": 1},
        {"dataset": name, "split": "train", "index": 0},
    ]
    train = zoo.sets[name].arrays["train"][0][:1]
    expected = zoo.expected(name, zoo.rows(name, 2))[1], zoo.expected(name, train)[0]
    found = zoo.ask_json(name, {"inputs": inputs, "return": ["probabilities"]})
    for prediction, probabilities in zip(found, (expected[0], *expected), strict=True):
        assert prediction["probabilities"] == pytest.approx(probabilities, abs=1e-5)


def test_a_picture_of_another_size_is_fitted_and_inverted_as_those_of_the_set(zoo: Zoo) -> None:
    sent, expected = as_sent(zoo, "signs")
    large = np.kron(sent[0], np.ones((5, 5), np.uint8))
    [found] = zoo.ask_json(
        "signs", {"inputs": [{"pixels": large.tolist()}], "return": ["probabilities", "pixels"]}
    )
    assert found["probabilities"] == pytest.approx(expected[0], abs=1e-5)
    assert found["input"] == {
        "normalized": True,
        "inverted": True,
        "box": [0, 0, 80, 80],
        "pixels": zoo.rows("signs", 1)[0].tolist(),
    }


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream"])
def test_a_digit_on_black_is_left_as_it_is_for_a_network_of_other_images(
    zoo: Zoo, images: NDArray[np.uint8], media_type: str
) -> None:
    aside = np.roll(images[0], 4, axis=1)  # the normaliser would centre it
    expected = zoo.expected("paper", aside[np.newaxis])
    body = encoded(aside) if media_type == "image/png" else aside.tobytes()
    for _ in range(2):  # the second time the network is in memory
        assert zoo.ask("paper", body, media_type) == pytest.approx(expected, abs=1e-5)


def test_answers_name_the_classes(zoo: Zoo) -> None:
    stored = zoo.rows("letters", 26)
    answer = zoo.post("letters", npy(stored), "application/x-npy", top_k=26)
    for found in answer.json()["predictions"]:
        assert found["name"] == LETTERS[found["label"]]
        assert [LETTERS[it["label"]] for it in found["top_k"]] == [
            it["name"] for it in found["top_k"]
        ]
        assert sorted(it["label"] for it in found["top_k"]) == list(range(26))
    array = zoo.post("letters", npy(stored), "application/x-npy", ".npy")
    assert json.loads(array.headers["Classes"]) == LETTERS
    assert array.headers["Classes"].isascii()
    assert np.load(io.BytesIO(array.content)).shape == (26, 26)


def test_a_table_of_answers_names_the_classes(zoo: Zoo) -> None:
    sent, expected = as_sent(zoo, "letters")
    inputs = [*({"pixels": it.tolist()} for it in sent), {"base64": "bm8gcGljdHVyZQ=="}]
    answer = zoo.client.post(
        f"/v1/models/{zoo.jobs['letters']}/predict",
        json={"inputs": inputs},
        headers={"Accept": "text/csv"},
    )
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, *rows, bad = csv.reader(io.StringIO(answer.content.decode(), newline=""))
    assert head == ["index", "predicted", *(f"p({name})" for name in LETTERS)]
    for index, (row, probabilities) in enumerate(zip(rows, expected, strict=True)):
        assert row[:2] == [str(index), LETTERS[probabilities.argmax()]]
        assert [float(it) for it in row[2:]] == pytest.approx(probabilities, abs=1e-5)
    assert bad == ["3", *[""] * 27]


def test_options_are_checked_against_the_classes_of_the_network(zoo: Zoo) -> None:
    body = npy(zoo.rows("signs", 1))
    assert len(zoo.post("signs", body, "application/x-npy").json()["predictions"][0]["top_k"]) == 2
    for option, value, highest in (("top_k", 4, 2), ("for", 2, 1), ("against", 9, 1)):
        refused = zoo.post("signs", body, "application/x-npy", "", **{option: value})
        check_problem(refused, 422)
        [flaw] = refused.json()["errors"]
        assert (flaw["pointer"], flaw["suggestion"]) == (f"?{option}", highest)
    inside = {"inputs": [{"dataset": "signs", "index": 0}], "top_k": 7}
    refused = zoo.post("signs", json.dumps(inside).encode(), "application/json")
    assert refused.json()["errors"][0]["pointer"] == "#/top_k"


def test_rows_of_numbers_are_read_by_name_or_in_the_order_of_the_columns(zoo: Zoo) -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 4.0, 2.5, 6.9]])
    columns = zoo.sets["flowers"].manifest.columns
    low, high = (np.array([getattr(it, end) for it in columns]) for end in ("low", "high"))
    expected = zoo.expected("flowers", np.rint((values - low) / (high - low) * 255))
    named = [dict(zip(FLOWERS, row, strict=True)) for row in values.tolist()]
    for body in (
        {"inputs": [{"features": row} for row in named]},
        {"features": named},
        {"instances": values.tolist()},
        {"inputs": [{"features": row} for row in values.tolist()]},
        values.tolist(),
        named,
    ):
        found = zoo.ask_json("flowers", body)
        assert [it["probability"] for it in found] == pytest.approx(expected.max(axis=1), abs=1e-5)
        assert [it["label"] for it in found] == expected.argmax(axis=1).tolist()
        assert all("input" not in it and "clipped" not in it for it in found)
    [one] = zoo.ask_json("flowers", {"features": named[1], "top_k": 1})
    assert one["name"] in ("setosa", "versicolor")
    plain = "\n".join(",".join(map(str, row)) for row in values.tolist())
    shuffled = [3, 0, 2, 1]
    table = ",".join(FLOWERS[at] for at in shuffled) + ",label\n"
    table += "\n".join(",".join(str(row[at]) for at in shuffled) + ",setosa" for row in values)
    for body, media_type, query in (
        (npy(values), "application/x-npy", {}),
        (plain.encode(), "text/csv", {}),
        (plain.encode(), "", {}),
        (table.encode(), "text/csv", {}),
        (table.encode(), "application/x-www-form-urlencoded", {}),
        (values.astype("<f4").tobytes(), "application/octet-stream", {"dtype": "float32"}),
    ):
        array = zoo.ask("flowers", body, media_type, **query)
        assert array == pytest.approx(expected, abs=1e-5)


def test_numbers_outside_of_the_training_range_are_clipped_and_told(zoo: Zoo) -> None:
    far = {**dict.fromkeys(FLOWERS, 1.0), "petal length": -3.0, "sepal width": 99.0}
    near = {**far, "petal length": 0.2, "sepal width": 5.0}
    outside, inside = zoo.ask_json("flowers", {"features": [far, near]})
    assert "clipped" in outside["warnings"]
    assert outside["clipped"] == ["sepal width", "petal length"]
    assert "clipped" not in inside["warnings"]
    assert outside["probability"] == inside["probability"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"features": {"sepal length": 1}}, "'sepal width', 'petal length', 'petal width'"),
        ({"features": {**dict.fromkeys(FLOWERS, 1), "colour": 2}}, "'colour'"),
        ({"features": {**dict.fromkeys(FLOWERS, 1), "petal width": "wide"}}, "'petal width'"),
        ({"features": {**dict.fromkeys(FLOWERS, 1), "petal width": True}}, "'petal width'"),
        ({"features": {**dict.fromkeys(FLOWERS, 1), "petal width": 1e300}}, "'petal width'"),
        ({"features": [1, 2, 3]}, "4 numbers"),
        ({"inputs": [{"pixels": [1, 2, 3, 4]}]}, "features"),
    ],
)
def test_a_row_that_is_not_one_is_refused_with_the_column(
    zoo: Zoo, body: dict[str, Any], words: str
) -> None:
    answer = zoo.post("flowers", json.dumps(body).encode(), "application/json")
    check_problem(answer, 422)
    assert words in answer.json()["detail"]


def test_a_network_of_a_table_reads_no_pictures_and_shows_no_pixels(zoo: Zoo) -> None:
    refused = zoo.post("flowers", encoded(np.zeros((4, 4), np.uint8)), "image/png")
    check_problem(refused, 422)
    assert "trained on a table" in refused.json()["detail"]
    asked = zoo.post("flowers", b'{"features": [1, 2, 3, 4], "return": ["pixels"]}', "")
    assert asked.json()["errors"][0]["pointer"] == "#/return"


def test_a_network_of_pictures_reads_no_features(zoo: Zoo) -> None:
    answer = zoo.post("letters", b'{"inputs": [{"features": [1, 2]}]}', "application/json")
    check_problem(answer, 422)
    assert "reads images" in answer.json()["detail"]
    sample = zoo.post("letters", b'{"inputs": [{"dataset": "flowers", "index": 0}]}', "")
    assert sample.json()["reason"] == "unknown_sample"


@pytest.mark.parametrize("name", ["letters", "colours", "flowers", "turned"])
def test_explanations_add_up_for_every_form(zoo: Zoo, name: str) -> None:
    body = {
        "inputs": [{"dataset": name, "index": 0}],
        "return": ["votes", "contributions", "activations"],
        "for": 1,
        "against": 0,
    }
    [found] = zoo.ask_json(name, body)
    parts = found["contributions"]
    assert len(parts["pixels"]) == zoo.sets[name].manifest.n_in
    assert sum(parts["pixels"]) + parts["bias"] == pytest.approx(parts["difference"], abs=1e-3)


def test_bad_pictures_among_good_ones_have_problems_of_their_own(zoo: Zoo) -> None:
    sent, expected = as_sent(zoo, "colours")
    inputs = [{"pixels": sent[0].tolist()}, {"base64": "bm8gcGljdHVyZQ=="}]
    good, bad = zoo.ask_json("colours", {"inputs": inputs, "return": ["probabilities"]})
    assert good["probabilities"] == pytest.approx(expected[0], abs=1e-5)
    assert bad["problem"]["code"] == "bad-image"


def test_a_grey_picture_is_read_by_a_network_that_sees_colours(zoo: Zoo) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (12, 10), np.uint8)
    expected = zoo.expected("colours", np.repeat(grey[..., None], 3, axis=2)[None])
    for body, media_type in ((npy(grey), "application/x-npy"), (encoded(grey), "image/png")):
        assert zoo.ask("colours", body, media_type) == pytest.approx(expected, abs=1e-5)


def test_more_images_than_a_request_may_hold_are_refused(zoo: Zoo) -> None:
    answer = zoo.post("omniglot", bytes(105 * 105 * 1500), "application/octet-stream")
    check_problem(answer, 422)
    assert answer.json()["reason"] == "too_many_images"
    assert "1,451 images" in answer.json()["detail"]
