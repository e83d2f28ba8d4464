"""The spec: presets, defaults, strict values, and specs that are stored."""

import json

import pytest
from pydantic import ValidationError

from mlp_client.job_spec import PRESETS, AdamW, Augmentation, Sgd, Spec, StoredSpec
from tests.support.job_records import DEFAULT_SPEC


def parse(**fields: object) -> Spec:
    return Spec.model_validate(fields)


def refusals(body: str) -> list[tuple[str, ...]]:
    with pytest.raises(ValidationError) as refused:
        Spec.model_validate_json(body)
    return [tuple(str(part) for part in error["loc"]) for error in refused.value.errors()]


# --- Presets ---


def test_an_empty_spec_is_mlp_relu() -> None:
    assert parse().model_dump() == DEFAULT_SPEC
    named = parse(preset="mlp-relu").model_dump()
    assert named == DEFAULT_SPEC | {"preset": "mlp-relu"}


@pytest.mark.parametrize(
    ("preset", "hidden", "activation"),
    [("linear", [], "relu"), ("mlp-relu", [128], "relu"), ("mlp-sigmoid", [128], "sigmoid")],
)
def test_a_preset_fills_the_fields_that_are_not_given(
    preset: str, hidden: list[int], activation: str
) -> None:
    filled = parse(preset=preset, epochs=3)
    assert (filled.hidden, filled.activation, filled.epochs) == (hidden, activation, 3)
    assert set(PRESETS) == {"linear", "mlp-relu", "mlp-sigmoid", "mlp-augmented"}


def test_a_spec_knows_which_fields_were_given() -> None:
    assert parse(preset="linear", epochs=50).given == {"preset", "epochs"}
    assert parse().given == set()
    assert Spec.model_validate_json('{"optimizer": "adamw"}').given == {"optimizer"}


def test_the_augmented_preset_deforms_its_images() -> None:
    best = parse(preset="mlp-augmented")
    assert best.augmentation == Augmentation()
    assert isinstance(best.optimizer, AdamW)
    assert parse(preset="mlp-augmented", augmentation=None).augmentation is None
    calm = parse(preset="mlp-augmented", optimizer={"weight_decay": 0.5})
    assert calm.optimizer == AdamW(type="adamw", weight_decay=0.5)
    assert parse(preset="mlp-augmented", optimizer="sgd").optimizer == Sgd()


def test_the_learning_rate_follows_the_optimizer_unless_it_is_given() -> None:
    for adamw in ("adamw", {"type": "adamw", "beta1": 0.5}):
        assert parse(optimizer=adamw).learning_rate == 0.001
        assert parse(optimizer=adamw, learning_rate=0.1).learning_rate == 0.1
    assert parse(optimizer="sgd").learning_rate == 0.1


def test_a_given_field_wins_over_the_preset() -> None:
    assert parse(preset="mlp-sigmoid", activation="tanh").activation == "tanh"
    assert parse(preset="linear", hidden=[7]).hidden == [7]


@pytest.mark.parametrize("preset", ["mlp", "", 5, ["linear"], {"linear": 1}, True])
def test_an_unknown_preset_is_refused(preset: object) -> None:
    assert refusals(json.dumps({"preset": preset})) == [("preset",)]


@pytest.mark.parametrize("body", ["[]", "5", "null", '"linear"'])
def test_a_body_that_is_not_an_object_is_refused(body: str) -> None:
    assert refusals(body) == [()]


# --- Strictness ---


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", "true"),
        ("epochs", '"5"'),
        ("epochs", "5.5"),
        ("epochs", "0"),
        ("epochs", "null"),
        ("hidden", "[true]"),
        ("hidden", '["8"]'),
        ("hidden", "[0]"),
        ("hidden", "8"),
        ("hidden", "null"),
        ("learning_rate", "true"),
        ("learning_rate", '"0.1"'),
        ("learning_rate", "NaN"),
        ("learning_rate", "Infinity"),
        ("learning_rate", "1e999"),
        ("learning_rate", "0"),
        ("learning_rate", "-0.1"),
        ("initial_bias", "-Infinity"),
        ("l2", "NaN"),
        ("l2", "-1"),
        ("batch_size", "0"),
        ("seed", "-1"),
        ("seed", str(2**53)),
        ("seed", "1.5"),
        ("activation", '"Relu"'),
        ("initialization", '"zeros"'),
        ("name", '"a\\u0000b"'),
        ("name", '"a\\nb"'),
        ("name", '"\\u001b[31m"'),
        ("name", '"\\u0085"'),
        ("name", '"\\u2028"'),
        ("name", "5"),
        ("name", json.dumps("x" * 65)),
        ("tags", '[""]'),
        ("tags", '["a\\tb"]'),
        ("tags", json.dumps(["t"] * 17)),
        ("metadata", '{"k": 5}'),
        ("metadata", '{"": "v"}'),
        ("metadata", '{"k": "\\u007f"}'),
        ("metadata", json.dumps({str(n): "" for n in range(17)})),
        ("metadata", json.dumps({"k": "x" * 513})),
        ("dataset", '""'),
        ("optimizer", '"adam"'),
        ("optimizer", '{"type": "adam"}'),
        ("optimizer", '{"momentum": 1}'),
        ("optimizer", '{"momentum": "0.9"}'),
        ("optimizer", '{"momentum": NaN}'),
        ("optimizer", '{"nesterov": 1, "momentum": 0.9}'),
        ("optimizer", '{"decay": 0.1}'),
        ("optimizer", "null"),
        ("colour", "1"),
    ],
)
def test_a_value_that_is_not_exactly_right_is_refused_by_its_field(field: str, value: str) -> None:
    found = refusals(f'{{"{field}": {value}}}')
    assert {loc[0] for loc in found} == {field}


def test_a_lone_surrogate_is_refused() -> None:
    for value in ("\ud800", "a\udfffb"):
        with pytest.raises(ValidationError):
            parse(name=value)
        with pytest.raises(ValidationError):
            Spec.model_validate_json(json.dumps({"name": value}))


def test_all_flaws_are_reported_together() -> None:
    found = refusals('{"epochs": 0, "hidden": [4, -1], "colour": 1}')
    assert set(found) == {("epochs",), ("hidden", "1"), ("colour",)}


def test_the_ends_of_the_ranges_are_allowed() -> None:
    allowed = parse(seed=2**53 - 1, hidden=[1], epochs=1, batch_size=1, name="x" * 64, l2=0)
    assert allowed.seed == 9007199254740991
    assert parse(seed=0, learning_rate=1, initial_bias=-1000).learning_rate == 1.0
    assert parse(name="Größe 7 naïve 日本", tags=["a"] * 16).name == "Größe 7 naïve 日本"


# --- Whole numbers ---


@pytest.mark.parametrize("field", ["epochs", "batch_size", "seed", "hidden"])
@pytest.mark.parametrize(
    ("written", "value"),
    [("5", 5), ("5.0", 5), ("5e0", 5), ("0.5e1", 5), ("500E-2", 5), ("2147483648.0", 2**31)],
)
def test_a_whole_number_may_be_written_in_any_way(field: str, written: str, value: int) -> None:
    body = f'{{"{field}": {f"[{written}]" if field == "hidden" else written}}}'
    for spec in (Spec.model_validate_json(body), Spec.model_validate(json.loads(body))):
        found = getattr(spec, field)
        number = found[0] if field == "hidden" else found
        assert (number, type(number)) == (value, int)


@pytest.mark.parametrize(
    "written", ["5.5", "1e400", "-1e400", "NaN", "1000000000000000.5", "true", '"5"', "[5.0]"]
)
@pytest.mark.parametrize("field", ["epochs", "seed"])
def test_what_is_no_whole_number_is_refused(field: str, written: str) -> None:
    assert {loc[0] for loc in refusals(f'{{"{field}": {written}}}')} == {field}


def test_large_whole_numbers_are_exact() -> None:
    assert parse(seed=9007199254740991.0).seed == 9007199254740991
    assert parse(seed=-0.0).seed == 0
    for large in (9007199254740992.0, 9007199254740993, 1e308):
        with pytest.raises(ValidationError, match="less than or equal"):
            parse(seed=large)


def test_the_schema_of_a_whole_number_is_that_of_an_integer() -> None:
    fields = Spec.model_json_schema()["properties"]
    for name in ("epochs", "batch_size", "seed"):
        assert fields[name]["type"] == "integer"
    assert fields["hidden"]["items"] == {"type": "integer", "minimum": 1, "maximum": 2**31}


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(parse(), "epochs", 5)  # noqa: B010  a type checker would refuse the assignment


# --- Optimizers ---


@pytest.mark.parametrize("given", ["sgd", {}, {"type": "sgd"}, {"momentum": 0.0}])
def test_the_optimizer_has_a_short_form(given: object) -> None:
    assert parse(optimizer=given).optimizer == Sgd()


def test_nesterov_needs_momentum() -> None:
    allowed = {"type": "sgd", "momentum": 0.9, "nesterov": True}
    assert parse(optimizer=allowed).optimizer.model_dump() == allowed
    with pytest.raises(ValidationError, match="momentum greater than 0"):
        parse(optimizer={"nesterov": True})


# --- Stored specs ---


def test_a_stored_spec_comes_back_as_it_was() -> None:
    for spec in (parse(), parse(preset="linear", tags=["a"], optimizer={"momentum": 0.5})):
        stored = StoredSpec(**spec.model_dump(mode="json"))
        assert stored.model_dump() == spec.model_dump()


def test_a_stored_spec_is_never_filled_from_its_preset_again() -> None:
    stored = StoredSpec(**parse(preset="linear", hidden=[7]).model_dump(mode="json"))
    assert stored.hidden == [7]
    assert StoredSpec(preset="linear").hidden == [128], "a missing field gets its old default"


def test_a_spec_of_a_later_version_can_be_read() -> None:
    later = parse().model_dump(mode="json") | {"dropout": 0.5}
    assert StoredSpec(**later).model_dump() == parse().model_dump()
