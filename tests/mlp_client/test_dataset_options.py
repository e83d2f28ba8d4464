"""The options of an upload: what they accept, and which field an error names."""

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from mlp_client.dataset_options import DatasetOptions, StoredDatasetOptions, place_of
from service.domain.dataset_manifest import Resize
from service.ingest.options import IngestOptions, SplitOption


def test_the_reader_has_every_option_and_the_same_defaults() -> None:
    words = {"license", "attribution", "description"}
    names = {field.name for field in dataclasses.fields(IngestOptions)}
    assert set(DatasetOptions.model_fields) - words == names
    assert IngestOptions.from_record(DatasetOptions().model_dump()) == IngestOptions()


def test_what_a_client_sends_is_what_the_reader_gets() -> None:
    given = {
        "split": {"test": 0.25, "seed": 7},
        "label": {"column": "digit"},
        "classes": {"1": "A", "2": "B"},
        "size": [32, 20],
        "resize": "stretch",
        "range": [0, 16],
        "invert": "auto",
        "input": "image",
    }
    options = IngestOptions.from_record(DatasetOptions.model_validate(given).model_dump())
    assert options.split == SplitOption(0.25, 7, True)
    assert options.classes == {"1": "A", "2": "B"}
    assert (options.size, options.range) == ((32, 20), (0, 16))
    assert (options.resize, options.invert, options.input) == (Resize.STRETCH, None, "image")


@pytest.mark.parametrize("label", [{"pattern": "^(.)_"}, {"column": "digit"}])
def test_the_reader_gets_the_one_place_of_the_label(label: dict[str, str]) -> None:
    options = DatasetOptions.model_validate({"label": label}).model_dump(mode="json")
    assert IngestOptions.from_record(options).label == label


@pytest.mark.parametrize("size", [28, "28", "28x28", [28, 28], [28.0, 28]])
def test_a_square_can_be_written_in_several_ways(size: object) -> None:
    assert DatasetOptions.model_validate({"size": size}).size == [28, 28]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"spilt": "given"}, ("spilt",)),
        ({"split": "half"}, ("split",)),
        ({"split": {"test": 1.5}}, ("split", "test")),
        ({"split": {"tests": 0.5}}, ("split", "tests")),
        ({"label": {"pattern": "a"}}, ("label", "pattern")),
        ({"label": {"pattern": "("}}, ("label", "pattern")),
        ({"label": {"pattern": "(a{99999999999})"}}, ("label", "pattern")),
        ({"label": {}}, ("label",)),
        ({"label": {"column": "a", "pattern": "(b)"}}, ("label",)),
        ({"classes": ["a", "a"]}, ("classes",)),
        ({"classes": []}, ("classes",)),
        ({"classes": ["a", 5]}, ("classes", 1)),
        ({"classes": {"1": "a\nb"}}, ("classes", "1")),
        ({"size": 0}, ("size", 0)),
        ({"size": [28, 257]}, ("size", 1)),
        ({"size": [28]}, ("size",)),
        ({"range": [16, 0]}, ("range",)),
        ({"range": [0, float("inf")]}, ("range", 1)),
        ({"invert": "yes"}, ("invert",)),
        ({"input": "letter"}, ("input",)),
        ({"color": "grau"}, ("color",)),
    ],
)
def test_an_error_names_the_field(given: dict[str, Any], place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        DatasetOptions.model_validate(given)
    assert place_of(caught.value.errors()[0]["loc"]) == place


def test_stored_options_are_read_although_a_later_version_has_written_them() -> None:
    stored = StoredDatasetOptions.model_validate({"size": [28, 28], "later": 1, "split": "given"})
    assert (stored.size, stored.split) == ([28, 28], "given")
