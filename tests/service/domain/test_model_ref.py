"""References to networks are read in one way."""

import pytest

from service.domain.errors import BadModelRef
from service.domain.model_ref import ModelRef, model_ref


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("job_1", ModelRef("job_1")),
        ("latest", ModelRef("latest")),
        ("job_1@12", ModelRef("job_1", 12)),
        ("job_1@0012", ModelRef("job_1", 12)),
        ("job_1@0", ModelRef("job_1", 0)),
        ("latest@best", ModelRef("latest", "best")),
        ("job_1@last", ModelRef("job_1")),
        ("", ModelRef("")),
    ],
)
def test_a_reference_names_a_job_and_perhaps_an_epoch(text: str, meaning: ModelRef) -> None:
    assert model_ref(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "job_1@",
        "job_1@-1",
        "job_1@1.5",
        "job_1@first",
        "a@1@2",
        "a@1\n",
        "a@\u0661",
        "a@9999999999",
        "a" * 65,
    ],
)
def test_what_follows_the_at_must_name_an_epoch(text: str) -> None:
    with pytest.raises(BadModelRef, match="the number of an epoch, `best` or `last`"):
        model_ref(text)
