"""What counts as an image for `predict`, and how it is sent."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlp_client import ImageUnusable
from tests.support.fake_service import FakeService

GREY = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
COLOURS = np.arange(30 * 40 * 3, dtype=np.uint8).reshape(30, 40, 3)


class Tensor:
    """An array of a library that NumPy understands, as PyTorch's are."""

    def __init__(self, array: NDArray[Any], *, tracked: bool = True) -> None:
        self.array, self.tracked, self.ndim = array, tracked, array.ndim

    def detach(self) -> "Tensor":
        return Tensor(self.array, tracked=False)

    def cpu(self) -> "Tensor":
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        assert not self.tracked, "a tensor that tracks its gradient can't be converted"
        return self.array


def sent(given: Any) -> list[dict[str, Any]]:
    service = FakeService()
    service.client().models.predict(given)
    return [item for it in service.requests for item in json.loads(it.content)["inputs"]]


def picture_in(item: dict[str, Any]) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(item["base64"]))))


@pytest.mark.parametrize(
    "image",
    [
        GREY.astype(np.int64),
        GREY.astype(np.float32),
        GREY[:, :, np.newaxis],
        GREY.astype(np.float64).tolist(),
        [list(row) for row in GREY],
        Tensor(GREY),
    ],
    ids=["int64", "float 0-255", "channel", "floats", "NumPy numbers", "tensor"],
)
def test_grey_values_of_any_type_are_sent_as_grey_values(image: Any) -> None:
    [item] = sent(image)
    assert np.asarray(item["pixels"]).reshape(28, 28).tolist() == GREY.tolist()


def test_a_mask_is_sent_as_black_and_white() -> None:
    [item] = sent(GREY > 100)
    assert item["pixels"] == np.where(GREY > 100, 255, 0).tolist()


@pytest.mark.parametrize("image", [COLOURS, COLOURS / 255, COLOURS.astype(np.int32)])
def test_an_array_with_colours_is_sent_as_a_picture(image: Any) -> None:
    [item] = sent(image)
    np.testing.assert_array_equal(picture_in(item), COLOURS)


@pytest.mark.parametrize("image", [COLOURS[:, :, 0], COLOURS[:, :, 0] / 255])
def test_an_array_of_any_size_is_sent_as_a_picture(image: Any) -> None:
    [item] = sent(image)
    np.testing.assert_array_equal(picture_in(item), COLOURS[:, :, 0])


def test_rows_of_numbers_of_any_size_are_sent_as_they_are() -> None:
    rows = COLOURS[:, :, 0].tolist()
    assert sent(rows) == [{"pixels": rows}]


@pytest.mark.parametrize(
    ("stack", "count"),
    [
        (np.stack([COLOURS] * 3), 3),
        (np.zeros((5, 1, 28, 28)), 5),
        (np.zeros((5, 40, 30), bool), 5),
        (Tensor(np.zeros((2, 28, 28))), 2),
        ((GREY for _ in range(3)), 3),
        (iter([GREY, COLOURS]), 2),
        ([np.zeros((1, 28, 28)), [0] * 784, COLOURS], 3),
    ],
)
def test_stacks_lists_and_iterators_are_lists(stack: Any, count: int) -> None:
    assert len(sent(stack)) == count


def test_paths_data_urls_and_open_files_are_sent_as_files(tmp_path: Path) -> None:
    data = b"any file"
    text = base64.b64encode(data).decode()
    (tmp_path / "seven.png").write_bytes(data)
    with (tmp_path / "seven.png").open("rb") as file:
        forms = [
            tmp_path / "seven.png",
            str(tmp_path / "seven.png"),
            f"data:image/png;base64,{text}",
            file,
            io.BytesIO(data),
            bytearray(data),
            memoryview(data),
        ]
        assert sent(forms) == [{"base64": text}] * len(forms)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (GREY.astype(np.int64) - 5, "from 0 to 255.*int64.*from -5 to 250"),
        (np.full((28, 28), np.nan), "from nan to nan"),
        (np.full((28, 28), "a"), "type <U1"),
        (np.zeros((2, 3, 4, 5, 6)), r"shape \(3, 4, 5, 6\)"),
        ([0.5, float("nan"), *[0.0] * 782], "finite"),
        ("data:image/png,abc", "data URL"),
        ("data:image/png;base64,!!!", "data URL"),
        ("https://example.com/7.png", "from the web"),
        (io.StringIO("text"), "rb"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_out(image: Any, message: str) -> None:
    with pytest.raises(ImageUnusable, match=message):
        sent(image)


def test_an_error_about_an_image_names_its_place_in_the_list() -> None:
    with pytest.raises(ImageUnusable, match=r"^Image 2 of the list: .* type NoneType"):
        sent([GREY, GREY, None])


# --- Long lists ---


def parts_of(images: Any) -> list[httpx2.Request]:
    service = FakeService()
    assert len(service.client().models.predict(images)) == len(images)
    return service.requests


def test_a_long_list_is_sent_in_parts_of_500_to_one_network() -> None:
    requests = parts_of([np.full((28, 28), index % 256, np.uint8) for index in range(1200)])
    inputs = [json.loads(request.content)["inputs"] for request in requests]
    assert [len(part) for part in inputs] == [500, 500, 200]
    values = [item["pixels"][0][0] for part in inputs for item in part]
    assert values == [index % 256 for index in range(1200)]
    assert [request.url.path for request in requests] == [
        "/v1/models/latest/predict",
        "/v1/models/ref_1/predict",
        "/v1/models/ref_1/predict",
    ]


def test_no_request_has_more_bytes_than_the_server_accepts() -> None:
    requests = parts_of([bytes([7]) * 900_000] * 20)
    assert len(requests) > 1
    assert all(len(request.content) < 10 * 1024**2 for request in requests)


def test_no_request_has_more_pixels_than_the_server_decodes() -> None:
    file = io.BytesIO()
    Image.new("L", (1000, 900)).save(file, "PNG")
    requests = parts_of([file.getvalue()] * 40)
    counts = [len(json.loads(request.content)["inputs"]) for request in requests]
    assert counts == [16, 16, 8]
    assert max(counts) * 900_000 < 16_000_000


def test_a_file_too_large_for_json_is_sent_by_itself_with_the_options() -> None:
    service = FakeService()
    large = b"\xff\xd8\xff" + bytes(6 * 1024**2)
    found = service.client().models.predict([b"a", large, b"b"], top_k=2, normalize="always")
    assert len(found) == 3
    types = [request.headers["Content-Type"] for request in service.requests]
    assert types == ["application/json", "image/jpeg", "application/json"]
    alone = service.requests[1]
    assert alone.content == large
    expected = {"top_k": "2", "normalize": "always", "return_pixels": "false"}
    assert dict(alone.url.params) == expected


def test_an_empty_list_is_not_sent() -> None:
    service, images = FakeService(), list[bytes]()
    assert service.client().models.predict(images) == []
    assert service.requests == []


def test_rows_of_a_table_are_sent_by_the_names_of_their_columns() -> None:
    rows = [{"length": np.float32(1.5), "width": 2}, {"length": 0.5, "width": 1}]
    assert sent(rows) == [{"features": row} for row in rows]
    assert sent(rows[1]) == [{"features": rows[1]}]


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_feature_that_is_no_number_is_not_sent(value: object) -> None:
    with pytest.raises(ImageUnusable, match="finite number"):
        sent({"length": value})
