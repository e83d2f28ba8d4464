"""`return`: probabilities, activations, votes and contributions beside a prediction."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from mlp_client.predictions import Predictions
from service.inference import predict
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.image_requests import BLANK, PATH, encoded, npy, only
from tests.support.live_service import Live, train
from tests.support.oracles import row_passes

ALL = "pixels,probabilities,activations,votes,contributions"
PARTS = ("probabilities", "rival", "activations", "votes", "contributions")
SAMPLE = {"inputs": [{"dataset": "mnist", "index": 4}]}


def ask_deep(reader: TestClient, world: World, body: dict[str, Any]) -> dict[str, Any]:
    return only(reader.post(f"/v1/models/{world.deep}/predict", json=body))


def test_all_parts_agree_with_the_weights_and_with_each_other(
    reader: TestClient, world: World, images: NDArray[np.uint8]
) -> None:
    found = ask_deep(reader, world, SAMPLE | {"return": ALL.split(","), "top_k": 10})
    tensors = load(reader.get(f"/v1/models/{world.deep}/weights.safetensors").content)
    names = [(f"layers.{k}.weight", f"layers.{k}.bias") for k in (1, 2, 3)]
    parameters = [(tensors[W].astype(float), tensors[b].astype(float)) for W, b in names]
    Z, H = row_passes(parameters, "tanh", images[4].ravel() / 255)
    assert found["input"]["pixels"] == images[4].tolist()
    by_label = {it["label"]: it["probability"] for it in found["top_k"]}
    assert found["probabilities"] == pytest.approx([by_label[it] for it in range(10)], rel=1e-5)
    for layer, expected in zip(found["activations"], H[1:-1], strict=True):
        assert layer == pytest.approx(expected.tolist(), abs=1e-5)
    first, second = (it["label"] for it in found["top_k"][:2])
    assert found["rival"] == second
    W = parameters[-1][0]
    votes = (H[-2] * (W[:, first] - W[:, second])).tolist()
    assert found["votes"] == pytest.approx(votes, abs=1e-5)
    why = found["contributions"]
    assert (why["for"], why["against"], len(why["pixels"])) == (first, second, 784)
    assert why["difference"] == pytest.approx(Z[-1][first] - Z[-1][second], abs=1e-4)
    assert why["exact"] is False


def test_contributions_of_a_linear_model_add_up_to_the_difference_of_the_logits(
    reader: TestClient,
) -> None:
    body = SAMPLE | {"return": ["contributions", "probabilities"], "for": 9, "against": 4}
    found = only(reader.post(PATH, json=body))
    why = found["contributions"]
    assert (found["rival"], why["for"], why["against"], why["exact"]) == (4, 9, 4, True)
    assert sum(why["pixels"]) + why["bias"] == pytest.approx(why["difference"], abs=1e-4)
    ratio = math.log(found["probabilities"][9] / found["probabilities"][4])
    assert why["difference"] == pytest.approx(ratio, abs=1e-4)


def test_nothing_is_there_unless_it_is_asked_for(reader: TestClient, world: World) -> None:
    expected = {"activations": {"activations"}, "votes": {"votes", "rival"}}
    expected |= {"contributions": {"contributions", "rival"}, "probabilities": {"probabilities"}}
    for name, parts in {"pixels": set[str](), **expected}.items():
        found = ask_deep(reader, world, SAMPLE | {"return": [name]})
        assert {part for part in PARTS if part in found} == parts
        assert ("pixels" in found["input"]) == (name == "pixels")


@pytest.mark.parametrize("form", ["png", "npy", "raw", "form", "json"])
@pytest.mark.parametrize("way", ["commas", "repeated"])
def test_every_form_of_a_picture_gets_the_same_explanation(
    reader: TestClient, images: NDArray[np.uint8], form: str, way: str
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "png": {"content": encoded(images[3]), "headers": {"Content-Type": "image/png"}},
        "npy": {"content": npy(images[3]), "headers": {"Content-Type": "application/x-npy"}},
        "raw": {"content": images[3].tobytes()},
        "form": {"files": {"image": encoded(images[3])}},
        "json": {"json": {"inputs": [{"pixels": images[3].tolist()}]}},
    }
    query = {"return": ALL if way == "commas" else ALL.split(",")}
    found = only(reader.post(PATH, params=query, **bodies[form]))
    sample = {"inputs": [{"dataset": "mnist", "index": 3}], "return": ALL.split(",")}
    assert found == only(reader.post(PATH, json=sample))
    assert found["input"]["pixels"] == images[3].tolist()


def test_options_in_a_form_or_body_count_before_those_in_the_query(reader: TestClient) -> None:
    query = {"return": "pixels", "for": "1"}
    by_json = only(reader.post(PATH, params=query, json=SAMPLE | {"return": ["votes"], "for": 2}))
    assert (by_json["votes"], "pixels" in by_json["input"]) == ([], False)
    picture = reader.get("/v1/datasets/mnist/test/4.png").content
    fields = {"return": "contributions, votes", "for": "2", "against": "5"}
    by_form = only(reader.post(PATH, params=query, files={"image": picture}, data=fields))
    assert (by_form["contributions"]["for"], by_form["rival"]) == (2, 5)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("return=vote", "?return/0"),
        ("return=votes&return=pixel", "?return/1"),
        ("for=10", "?for"),
        ("against=-1", "?against"),
        ("for_=3", "?for_"),
        ("for=1&for=2", "?for"),
    ],
)
def test_a_bad_option_is_refused_by_the_name_that_was_sent(
    reader: TestClient, query: str, pointer: str
) -> None:
    answer = reader.post(f"{PATH}?{query}", json=SAMPLE)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_digit_has_no_votes_against_itself(reader: TestClient) -> None:
    for query, body in ({"for": 3, "against": 3}, {}), ({"for": 3}, {"against": 3}):
        answer = reader.post(PATH, params=query, json=SAMPLE | body)
        check_problem(answer, 422)
        assert "two different digits" in answer.json()["detail"]


def test_at_most_64_images_are_explained_but_any_number_has_probabilities(
    reader: TestClient,
) -> None:
    many = {"inputs": [{"dataset": "mnist", "index": index} for index in range(65)]}
    answer = reader.post(PATH, json=many | {"return": ["votes"]})
    check_problem(answer, 422)
    assert "at most 64 images" in answer.json()["detail"]
    some = {"inputs": many["inputs"][:64], "return": ["contributions"]}
    found = reader.post(PATH, json=some).json()["predictions"]
    assert {it["contributions"]["for"] == it["label"] for it in found} == {True}
    found = reader.post(PATH, json=many | {"return": ["probabilities"]}).json()["predictions"]
    assert {len(it["probabilities"]) for it in found} == {10}


def test_fewer_images_of_a_wide_network_are_explained(
    reader: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "MAX_EXPLAINING_NUMBERS", 2000)  # 784 + 12 + 11 + 10, and 12
    path, inputs = f"/v1/models/{world.deep}/predict", SAMPLE["inputs"] * 3
    answer = reader.post(path, json={"inputs": inputs, "return": ["activations"]})
    assert "at most 2 images" in answer.json()["detail"]
    body = {"inputs": inputs[:2], "return": ["activations"]}
    assert reader.post(path, json=body).status_code == 200


def test_an_image_that_cannot_be_read_has_a_problem_and_nothing_else(reader: TestClient) -> None:
    inputs = [*SAMPLE["inputs"], BLANK, *SAMPLE["inputs"]]
    answer = reader.post(PATH, json={"inputs": inputs, "return": ALL.split(",")})
    first, bad, last = answer.json()["predictions"]
    assert bad["problem"]["reason"] == "blank_image"
    assert not bad.keys() & {"input", *PARTS}
    assert set(PARTS) <= first.keys()
    assert first == last


def test_numbers_have_six_significant_digits(reader: TestClient, world: World) -> None:
    found = ask_deep(reader, world, SAMPLE | {"return": ALL.split(",")})
    numbers = [*found["probabilities"], *found["votes"], *found["contributions"]["pixels"]]
    assert all(number == float(f"{number:.6g}") for number in numbers)
    assert not any(math.copysign(1, number) < 0 for number in numbers if number == 0)


def test_the_client_reads_explanations_and_writes_them_as_they_came(reader: TestClient) -> None:
    answer = reader.post(PATH, json=SAMPLE | {"return": ["contributions"], "for": 4})
    record = Predictions.model_validate_json(answer.content)
    [prediction] = record.predictions
    assert prediction.contributions
    assert prediction.contributions.for_ == 4
    assert record.model_dump(mode="json", exclude_none=True) == answer.json()


def test_a_network_explains_over_http(live: Live, data_dir: Path, datasets_dir: Path) -> None:
    train(data_dir, datasets_dir, hidden=[16], epochs=1, batch_size=512)
    for way in ({"params": {"return": ALL}, "json": SAMPLE}, {"json": SAMPLE | {"return": ALL}}):
        found = only(live.http.post(PATH, **way))
        why = found["contributions"]
        assert [len(layer) for layer in found["activations"]] == [16]
        assert sum(why["pixels"]) + why["bias"] == pytest.approx(why["difference"], abs=1e-4)
