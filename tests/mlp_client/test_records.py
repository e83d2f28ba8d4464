"""The records that travel over HTTP."""

from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from mlp_client import job_spec, predictions, records
from mlp_client.records import Epoch, Event

MODELS = [
    model
    for module in (records, predictions, job_spec)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.model_fields
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_record_and_field_is_described_in_sentences(model: type[BaseModel]) -> None:
    assert (model.__doc__ or "").strip().endswith((".", ")."))
    found = {name: field.description or "" for name, field in model.model_fields.items()}
    assert [name for name, text in found.items() if not text.endswith(".")] == []


def test_records_ignore_later_fields_and_can_not_be_changed() -> None:
    later = {"number": 1, "type": "state", "at": datetime.now(UTC), "data": {}, "later": 5}
    event = Event.model_validate(later)
    assert not hasattr(event, "later")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(event, "number", 2)  # noqa: B010  a type checker would refuse the assignment


def test_an_epoch_keeps_its_floats_over_the_wire() -> None:
    epoch = Epoch(
        epoch=1,
        train_accuracy=0.1,
        test_accuracy=1.0,
        train_loss=0.1 + 0.2,
        test_loss=1e-300,
        seconds=1 / 3,
    )
    assert Epoch.model_validate_json(epoch.model_dump_json()) == epoch
