"""Pictures of networks of other sets than MNIST: weights, templates, films and curves."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from service.pictures import palette
from tests.support.zoo import FLOWERS, IMAGES, Zoo

SVG = "{http://www.w3.org/2000/svg}"


def titles(zoo: Zoo, path: str) -> list[str | None]:
    """Return the texts of a picture as SVG, of which a PNG can be had, too."""
    assert zoo.client.get(path.replace(".svg", ".png")).status_code == 200
    answer = zoo.client.get(path)
    assert answer.status_code == 200, answer.text
    return [it.text for it in ElementTree.fromstring(answer.content).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", [*IMAGES, "flowers"])
def test_the_output_layers_units_are_called_by_the_names_of_the_classes(
    zoo: Zoo, name: str
) -> None:
    found = titles(zoo, f"/v1/models/{zoo.jobs[name]}/layers/2/weights.svg")
    assert [it for it in found if it in zoo.sets[name].manifest.classes] == list(
        zoo.sets[name].manifest.classes
    )
    assert f"{len(zoo.sets[name].manifest.classes)} classes" in str(found[0])
    assert not any("Digit" in str(it) or "digits" in str(it) for it in found)


def test_the_columns_of_a_table_stand_below_its_weights(zoo: Zoo) -> None:
    found = titles(zoo, f"/v1/models/{zoo.jobs['flowers']}/layers/1/weights.svg?units=4")
    assert [it for it in found if it in FLOWERS] == list(FLOWERS)
    assert "columns of the table" in found


@pytest.mark.parametrize("name", ["omniglot", "colours", "turned"])
def test_templates_have_the_shape_of_the_images(zoo: Zoo, name: str) -> None:
    shape = zoo.sets[name].manifest.shape
    height, width = shape[0], shape[1] * zoo.sets[name].manifest.channels
    longer = max(height, width)
    answer = zoo.client.get(
        f"/v1/models/{zoo.jobs[name]}/layers/1/weights.png?units=1&tile={longer}&scale=shared"
    )
    picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    weights = np.load(
        io.BytesIO(
            zoo.client.get(f"/v1/models/{zoo.jobs[name]}/layers/1/weights.npy?units=1").content
        )
    ).reshape(shape)
    if len(shape) == 3:
        weights = np.concatenate([weights[..., channel] for channel in range(3)], axis=1)
    strongest = np.unravel_index(np.abs(weights).argmax(), weights.shape)
    sides = picture.reshape(*picture.shape[:2], 3)
    end = palette.RDBU[255 if weights[strongest] > 0 else 0]
    [place, *_] = np.argwhere((sides == end).all(axis=2))
    again = np.unravel_index(np.abs(weights).argmin(), weights.shape)
    white = place - np.array(strongest) + np.array(again)
    assert np.abs(sides[tuple(white)].astype(int) - palette.RDBU[128]).max() <= 6


@pytest.mark.parametrize("name", ["clothes", "colours", "flowers"])
@pytest.mark.parametrize("layer", [1, 2])
def test_there_is_a_film_of_every_form(zoo: Zoo, name: str, layer: int) -> None:
    answer = zoo.client.get(f"/v1/models/{zoo.jobs[name]}/film.webp?layer={layer}&units=8")
    assert answer.status_code == 200, answer.text
    frames = getattr(Image.open(io.BytesIO(answer.content)), "n_frames", 1)
    assert frames >= (20 if name == "flowers" else 4)


@pytest.mark.parametrize("name", ["colours", "flowers"])
def test_curves_tell_the_network_of_every_form(zoo: Zoo, name: str) -> None:
    answer = zoo.client.get(f"/v1/jobs/{zoo.jobs[name]}/curves.svg")
    assert answer.status_code == 200, answer.text
    manifest = zoo.sets[name].manifest
    assert f"{manifest.n_in}-16-{len(manifest.classes)}" in answer.text
