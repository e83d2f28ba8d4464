"""How a spec is written as JSON."""

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from mlp_client import SpecUnusable
from mlp_client.job_spec import AdamW, Augmentation
from mlp_client.spec_json import spec_json
from tests.support.fake_service import FakeService


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.int64(5), "5"),
        (np.uint8(5), "5"),
        (np.bool_(True), "true"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.1), "0.10000000149011612"),
        (np.float16(0.1), "0.0999755859375"),
        (np.array([128, 64]), "[128,64]"),
        ([np.int32(128), 64], "[128,64]"),
        ((128, 64), "[128,64]"),
        (range(3), "[0,1,2]"),
        (Decimal("0.5"), "0.5"),
        ({"momentum": np.float32(0.5)}, '{"momentum":0.5}'),
        ("é", '"é"'),
        (None, "null"),
    ],
)
def test_values_of_many_types_are_written_exactly(value: Any, written: str) -> None:
    assert spec_json({"field": value}).decode() == f'{{"field":{written}}}'


@pytest.mark.parametrize("record", [AdamW(type="adamw", beta1=0.8), Augmentation(rotation=3)])
def test_the_records_of_a_spec_are_written_with_their_fields(record: Any) -> None:
    assert json.loads(spec_json({"field": record}))["field"] == record.model_dump()


@pytest.mark.parametrize(
    "value", [float("nan"), np.float32("inf"), b"bytes", object(), "\ud800", {1.5: object()}, 1j]
)
def test_a_field_that_can_not_be_written_is_named_and_nothing_is_sent(value: Any) -> None:
    service = FakeService()
    with pytest.raises(SpecUnusable, match=r"^l2: "):
        service.client().jobs.create("linear", l2=value)
    assert service.requests == []


def test_an_empty_spec_is_an_empty_object() -> None:
    assert spec_json({}) == b"{}"
