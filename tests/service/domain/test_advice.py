"""What is said about networks that have learned nothing or little, by what happened to them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlp_client.job_spec import Spec
from mlp_core import Dataset, Split, Training
from service.domain.advice import Outcome, advice_for_little, advice_for_nothing
from service.domain.baseline import Baseline
from service.domain.dataset_manifest import InputForm, Manifest
from service.domain.job_recipe import recipe_of

SMALL: dict[str, Any] = {"hidden": [8], "batch_size": 8, "epochs": 6}


def outcome_of(
    shape: tuple[int, ...],
    counts: list[int],
    spec: dict[str, Any],
    noise: float = 40.0,
    form: InputForm = InputForm.IMAGE,
) -> Outcome:
    """Train on images that are noisy copies of a picture of their class, and return what came."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 120, (len(counts), int(np.prod(shape))))

    def split(counts: list[int]) -> Split:
        labels = np.repeat(np.arange(len(counts)), counts)
        rows = pictures[labels] + rng.normal(60, noise, (len(labels), pictures.shape[1]))
        return Split(rows.clip(0, 255).astype(np.uint8), labels.astype(np.uint8))

    tested = [max(1, count // 2) for count in counts]
    train, test = split(counts), split(tested)
    names = tuple(f"class {number}" for number in range(len(counts)))
    manifest = Manifest("", shape, names, {"train": counts, "test": tested}, form)
    filled = Spec.model_validate(SMALL | spec).model_dump()
    recipe = recipe_of(filled, names, manifest.image_shape)
    data = Dataset("made", train, test, len(counts), shape if manifest.image_shape else None)
    with np.errstate(all="ignore"):
        done = [vars(each.epoch) for each in Training(recipe, data) if each.epoch]
    return Outcome(filled, manifest, Baseline.of(test.labels), done)


def test_a_rate_above_the_usual_one_is_named_first() -> None:
    found = outcome_of((6, 6), [40, 40], {"learning_rate": 500.0, "hidden": [8, 8]})
    assert not found.learned
    assert advice_for_nothing(found) == (
        "Try a lower learning_rate: it was 500, and 0.1 is usual with sgd."
    )


def test_large_images_have_a_lower_usual_rate_and_the_way_out_of_a_smaller_size() -> None:
    found = outcome_of((80, 100), [20, 20], {"learning_rate": 0.5, "hidden": [32]})
    assert not found.learned
    assert advice_for_nothing(found) == (
        "Try a lower learning_rate: it was 0.5, and 0.013 is usual with sgd and 8,000 inputs. "
        "Images of 80x100 are also easier to learn if they are uploaded with the size 28."
    )


def test_a_rate_below_the_usual_one_should_be_higher() -> None:
    found = outcome_of((6, 6), [40, 40], {"learning_rate": 1e-9, "optimizer": "adamw"})
    assert not found.learned
    assert advice_for_nothing(found) == (
        "Try a higher learning_rate or more epochs: it was 1e-09, and 0.001 is usual with adamw."
    )


def test_one_class_that_is_always_answered_should_count_less() -> None:
    found = outcome_of((6, 6), [90, 4], {"learning_rate": 0.01, "epochs": 4}, noise=90)
    assert found.accuracy == found.baseline.accuracy
    assert advice_for_nothing(found) == (
        'Try "class_weights": "balanced": \'class 0\' has 90 training images, and rarer classes '
        "are hardly ever answered."
    )
    weighted = replace(found, spec={**found.spec, "class_weights": "balanced"})
    assert "class_weights" not in advice_for_nothing(weighted)


def test_classes_of_very_different_sizes_are_named_if_little_was_learned() -> None:
    found = outcome_of((4, 4), [180, 60, 18], {"learning_rate": 0.01, "epochs": 25}, noise=60)
    assert found.learned_little
    assert (advice_for_little(found) or "").startswith('Try "class_weights": "balanced"')


def test_a_loss_that_rises_needs_a_lower_rate() -> None:
    found = outcome_of((30, 30), [40, 40], {"learning_rate": 0.1})
    risen = [{**found.epochs[0], "train_loss": 0.6}, {**found.epochs[0], "train_loss": 2.5}]
    worse = [{**epoch, "test_accuracy": 0.5} for epoch in risen]
    assert advice_for_nothing(replace(found, epochs=worse)) == (
        "Try a lower learning_rate than 0.1: the training loss has risen from 0.6 to 2.5."
    )


def test_a_loss_that_is_still_falling_needs_more_epochs() -> None:
    found = outcome_of((6, 6), [20] * 8, {"epochs": 8}, noise=25)
    assert found.learned_little
    assert advice_for_little(found) == (
        "Try more epochs than 8: the training loss was still falling."
    )


def test_images_that_are_known_by_heart_need_augmentation() -> None:
    spec = {"hidden": [64], "epochs": 40}
    found = outcome_of((12, 12), [20] * 4, spec, noise=160)
    assert found.epochs[-1]["train_accuracy"] == 1
    assert found.learned_little
    said = advice_for_little(found) or ""
    assert said.startswith('Try "augmentation": {} with more epochs, or more training images: ')
    assert f"100.0% of its training images right and {found.accuracy:.1%} of the test" in said
    photographs = "Photographs of letters or digits are learned better if they are uploaded with "
    inverted = replace(found, manifest=replace(found.manifest, invert=True))
    for grey in (found, inverted):
        assert (advice_for_little(grey) or "").endswith(f". {photographs}normalize=true.")
    digits = replace(found, manifest=replace(found.manifest, input=InputForm.DIGIT))
    coloured = replace(found, manifest=replace(found.manifest, shape=(12, 4, 3)))
    for other in (digits, coloured):
        assert "normalize" not in (advice_for_little(other) or "")
    augmented = replace(found, spec={**found.spec, "augmentation": {"rotation": 12.0}})
    rows = replace(found, manifest=replace(found.manifest, shape=(144,), input=InputForm.VECTOR))
    for other in (augmented, rows):
        said = advice_for_little(other) or ""
        assert said.startswith("Try more training data or fewer hidden units: ")


def test_a_network_that_has_learned_much_needs_no_advice() -> None:
    found = outcome_of((8, 8), [40, 40], {"epochs": 20})
    assert found.accuracy > 0.9
    assert not found.learned_little


@pytest.mark.parametrize("invert", [False, True])
def test_images_that_teach_nothing_may_be_dark_on_light(invert: bool) -> None:
    found = outcome_of((6, 6), [20, 20], {})
    flat = [{"number": 6, "train_loss": 0.69, "train_accuracy": 0.5, "test_accuracy": 0.5}]
    manifest = replace(found.manifest, invert=invert)
    said = advice_for_nothing(replace(found, epochs=flat, manifest=manifest))
    assert said.startswith("Try another learning_rate than 0.1, another initialization or more ")
    assert ("invert=true" in said) is not invert
    assert "hotographs of letters or digits" in said
    assert said.endswith("normalize=true.")


def test_large_images_at_chance_may_be_photographs() -> None:
    found = outcome_of((80, 100), [20, 20], {"epochs": 2, "hidden": [4]})
    spec = {**found.spec, "learning_rate": found.usual_rate}
    flat = [{"number": 6, "train_loss": 0.69, "train_accuracy": 0.5, "test_accuracy": 0.5}]
    said = advice_for_nothing(replace(found, spec=spec, epochs=flat))
    assert "the training loss has stayed that of guesses. Images of 80x100 are" in said
    assert said.endswith("and photographs of letters or digits with normalize=true.")
