"""What people send for a picture: the content decides where the media type is no help."""

import base64
import io
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from starlette.testclient import TestClient

from service.api import predict_input
from tests.service.api.test_hostile_bodies import check_cheap, check_problem
from tests.support.image_requests import PATH, SEVEN, ask, ask_json, check, encoded, npy, only
from tests.support.live_service import Live, train
from tests.support.live_service import settings as service_settings
from tests.support.npz_bombs import zeros_in_npz

Grey = NDArray[np.uint8]
Expected = list[NDArray[np.float64]]
CURL = "application/x-www-form-urlencoded"
GENERAL = ["", CURL, "application/octet-stream", "text/plain", "binary/octet-stream", "*/*", "png"]


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def csv(rows: Any, header: bool = False) -> bytes:
    names = ",".join(f"pixel{n}" for n in range(784)) + "\n" if header else ""
    return (names + "\n".join(",".join(map(str, row)) for row in rows)).encode()


def text64(grey: Grey) -> bytes:
    return base64.encodebytes(encoded(grey))


BODIES: dict[str, Callable[[Grey], bytes]] = {
    "png": lambda grey: encoded(grey),
    "gif": lambda grey: encoded(grey, "GIF"),
    "bmp": lambda grey: encoded(grey, "BMP"),
    "webp": lambda grey: encoded(grey, "WEBP", lossless=True),
    "tiff": lambda grey: encoded(grey, "TIFF"),
    "npy": lambda grey: npy(grey),
    "npz": lambda grey: npz(image=grey),
    "json": lambda grey: b' {"inputs": [{"pixels": %s}]}' % str(grey.tolist()).encode(),
    "list": lambda grey: str(grey.tolist()).encode(),
    "csv": lambda grey: csv([grey.ravel()]),
    "csv with names": lambda grey: csv([grey.ravel()], header=True),
    "base64": text64,
    "data URL": lambda grey: b"data:image/png;base64," + base64.b64encode(encoded(grey)),
}


@pytest.mark.parametrize("media_type", GENERAL)
@pytest.mark.parametrize("form", BODIES)
def test_the_content_decides_where_the_label_is_missing_or_general(
    reader: TestClient, images: Grey, expected: Expected, form: str, media_type: str
) -> None:
    answer = ask(reader, BODIES[form](images[SEVEN]), media_type)
    check(only(answer), expected[SEVEN])


@pytest.mark.parametrize("media_type", ["image/jpg", "image/x-png", "image/gif", "image/heic"])
def test_a_wrong_image_type_does_not_matter(
    reader: TestClient, images: Grey, expected: Expected, media_type: str
) -> None:
    check(only(ask(reader, encoded(images[SEVEN]), media_type)), expected[SEVEN])


def test_json_and_base64_are_recognised_behind_a_label_of_pictures_or_tables(
    reader: TestClient, images: Grey, expected: Expected
) -> None:
    json, text = BODIES["json"](images[SEVEN]), text64(images[SEVEN])
    for body, media_type in ((json, "text/csv"), (json, "image/png"), (text, "image/png")):
        check(only(ask(reader, body, media_type)), expected[SEVEN])


def test_a_form_without_a_boundary_is_refused_with_the_way_out(
    reader: TestClient, images: Grey
) -> None:
    answer = ask(reader, encoded(images[SEVEN]), "multipart/form-data")
    check_problem(answer, 400)
    assert "Leave the header out" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["Float32", "FP32", "fp32", "float32", "f4", "<f4"])
def test_a_type_may_be_named_as_in_other_languages(
    reader: TestClient, images: Grey, expected: Expected, name: str
) -> None:
    body = (images[SEVEN] / 255).astype("<f4").tobytes()
    check(only(ask(reader, body, "application/octet-stream", dtype=name)), expected[SEVEN])


@pytest.mark.parametrize(
    ("query", "example"),
    [
        ({"dtype": "object"}, ">i4"),
        ({"dtype": "float128"}, ">i4"),
        ({"shape": "-1,28,28"}, "100,28,28"),
        ({"shape": "28 28"}, "28,28,3"),
        ({"shape": "1," * 9}, "28,28,3"),
    ],
)
def test_a_declaration_that_is_not_understood_is_refused_with_examples(
    reader: TestClient, query: dict[str, str], example: str
) -> None:
    answer = ask(reader, bytes(784), "application/octet-stream", **query)
    check_problem(answer, 422)
    [error] = answer.json()["errors"]
    assert error["pointer"] == f"?{next(iter(query))}"
    assert example in error["detail"]


def test_a_png_of_a_multiple_of_784_bytes_is_a_png(
    reader: TestClient, images: Grey, expected: Expected
) -> None:
    body = encoded(images[SEVEN])
    body += bytes(-len(body) % 784)
    check(only(ask(reader, body, "application/octet-stream")), expected[SEVEN])


@pytest.mark.parametrize(
    "body",
    [
        lambda png: b"image=" + quote(png).encode(),
        lambda png: b"image=" + quote_plus(png).encode(),
        lambda png: quote_plus(png).encode(),
        lambda png: b"photo=" + base64.b64encode(png),
        lambda png: b"file[]=" + quote_plus(base64.b64encode(png)).encode() + b"&top_k=3",
    ],
)
def test_an_urlencoded_form_is_read(
    reader: TestClient,
    images: Grey,
    expected: Expected,
    body: Callable[[bytes], bytes],
) -> None:
    check(only(ask(reader, body(encoded(images[SEVEN])), CURL)), expected[SEVEN])


def test_a_png_that_curl_has_damaged_is_recognised(reader: TestClient, images: Grey) -> None:
    body = encoded(images[SEVEN]).translate(None, b"\r\n\0")
    answer = ask(reader, body, CURL)
    check_problem(answer, 422)
    assert "--data-binary" in answer.json()["detail"]


# --- Raw buffers ---


@pytest.mark.parametrize(
    ("make", "query"),
    [
        (lambda grey: (grey / 255).astype("<f4"), {"dtype": "float32"}),
        (lambda grey: grey.astype(">i4"), {"dtype": ">i4"}),
        (lambda grey: np.repeat(grey[..., None], 3, -1), {"shape": "28,28,3"}),
        (lambda grey: grey, {"shape": "28x28"}),
        (lambda grey: grey, {"dtype": "uint8", "shape": "(1,784)"}),
    ],
)
def test_raw_numbers_may_be_declared(
    reader: TestClient, images: Grey, expected: Expected, make: Any, query: dict[str, str]
) -> None:
    body = np.ascontiguousarray(make(images[SEVEN])).tobytes()
    check(only(ask(reader, body, "application/octet-stream", **query)), expected[SEVEN])


@pytest.mark.parametrize(
    "query",
    [{"dtype": "object"}, {"dtype": "V9"}, {"shape": "28;28"}, {"shape": "-1,28"}, {"shape": "0"}],
)
def test_a_declaration_that_makes_no_sense_is_refused(
    reader: TestClient, images: Grey, query: dict[str, str]
) -> None:
    answer = ask(reader, images[0].tobytes(), "application/octet-stream", **query)
    check_problem(answer, 422)


@pytest.mark.parametrize("size", [1, 28, 785, 784 * 10_001])
def test_declared_buffers_have_the_same_limits(reader: TestClient, size: int) -> None:
    for query in ({"dtype": "uint8"}, {"shape": "28,28"}, {"dtype": "float64"}):
        check_problem(ask(reader, bytes(size), "application/octet-stream", **query), 422)


# --- Forms ---


@pytest.mark.parametrize("field", ["file", "img", "image[]", "anything"])
def test_a_file_may_be_in_a_field_of_any_name(
    reader: TestClient, images: Grey, expected: Expected, field: str
) -> None:
    files = {field: ("x.bin", encoded(images[SEVEN]), "text/plain")}
    check(only(reader.post(PATH, files=files)), expected[SEVEN])


def test_options_in_a_form_count(reader: TestClient, images: Grey) -> None:
    files = {"file": ("x", encoded(images[SEVEN]))}
    answer = reader.post(PATH, files=files, data={"top_k": "1", "return_pixels": "true"})
    assert len(only(answer)["top_k"]) == 1
    assert only(answer)["input"]["pixels"] == images[SEVEN].tolist()


@pytest.mark.parametrize(
    ("data", "pointer"),
    [({"top_k": "11"}, "#/top_k"), ({"topk": "1"}, "#/topk"), ({"top_k": ["1", "2"]}, "#/top_k")],
)
def test_a_wrong_field_of_a_form_is_refused_by_name(
    reader: TestClient, images: Grey, data: dict[str, Any], pointer: str
) -> None:
    answer = reader.post(PATH, files={"file": ("x", encoded(images[SEVEN]))}, data=data)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_file_without_a_name_is_read(
    reader: TestClient, images: Grey, expected: Expected
) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    body = head + encoded(images[SEVEN]) + b"\r\n--x--\r\n"
    check(only(ask(reader, body, "multipart/form-data; boundary=x")), expected[SEVEN])


def test_a_form_may_hold_an_array_and_base64(
    reader: TestClient, images: Grey, expected: Expected
) -> None:
    text = "data:image/png;base64," + base64.b64encode(encoded(images[2])).decode()
    files: list[Any] = [("a", ("a.npy", npy(images[:2]))), ("b", (None, text))]
    answer = reader.post(PATH, files=files)
    predictions = answer.json()["predictions"]
    for prediction, probabilities in zip(predictions, expected[:3], strict=True):
        check(prediction, probabilities)


def test_a_form_may_hold_only_a_few_packed_arrays(reader: TestClient, images: Grey) -> None:
    one = ("a", ("a.npz", npz(image=images[0])))
    assert len(reader.post(PATH, files=[one] * 4).json()["predictions"]) == 4
    refused = reader.post(PATH, files=[one] * 5).json()
    assert (refused["reason"], "4 .npz files" in refused["detail"]) == ("too_many_images", True)


def test_a_form_has_no_more_images_than_any_other_request(reader: TestClient) -> None:
    one = ("a", ("a.npy", npy(np.zeros((5001, 784), np.uint8))))
    refused = reader.post(PATH, files=[one] * 2).json()
    assert (refused["status"], refused["reason"]) == (422, "too_many_images")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_file_packed_in_an_unusual_way_is_refused(reader: TestClient, method: int) -> None:
    refused = ask(reader, zeros_in_npz(method, 1), "application/x-npz").json()
    assert "numpy.savez_compressed" in refused["detail"]


# --- Reasons and pointers ---


def test_each_problem_has_a_reason_and_a_place(reader: TestClient) -> None:
    blank = {"pixels": [[9] * 28] * 28}
    wrong = {"base64": "!"}
    answer = ask_json(reader, {"dataset": "mnist", "index": 0}, blank, wrong)
    problems = [each.get("problem") for each in answer.json()["predictions"]]
    assert problems[0] is None
    assert [each["reason"] for each in problems[1:]] == ["blank_image", "invalid_base64"]
    places = [each["errors"][0]["pointer"] for each in problems[1:]]
    assert places == ["#/inputs/1", "#/inputs/2"]
    alone = ask_json(reader, blank).json()
    assert (alone["reason"], alone["errors"][0]["pointer"]) == ("blank_image", "#/inputs/0")


def test_a_bad_file_of_a_form_is_named(reader: TestClient, images: Grey) -> None:
    files = [("a", ("a", encoded(images[0]))), ("b", ("b", b"<svg/>"))]
    problem = reader.post(PATH, files=files).json()["predictions"][1]["problem"]
    assert problem["reason"] == "unsupported_format"
    assert problem["errors"][0]["pointer"] == "b (file 2)"


# --- Large photographs over HTTP ---


def test_a_photograph_of_fifty_megapixels_is_answered(
    live: Live, data_dir: Any, datasets_dir: Any, images: Grey
) -> None:
    train(data_dir, datasets_dir, preset="linear", epochs=1, batch_size=256)
    side = np.kron(255 - images[SEVEN], np.ones((200, 200), np.uint8))
    page = np.pad(side, ((200, 320), (1000, 1560)), constant_values=255)
    photo = encoded(page, "JPEG", quality=60)
    assert page.size > 49_000_000
    padded = photo + bytes(20 * 1024**2 - len(photo))  # phones append videos and depth maps
    text = base64.b64encode(padded).decode()
    answers = [
        live.http.post(PATH, content=padded, headers={"Content-Type": "image/jpeg"}),
        live.http.post(PATH, files={"file": padded}),
        live.http.post(PATH, json={"inputs": [{"base64": text}]}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["label"] == 7
    assert service_settings(data_dir, datasets_dir).max_body_bytes < len(padded)


# --- Anything ---


def squeezed(method: int, damaged: bool = False) -> bytes:
    """Return an archive with the picture in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("image.npy", npy(np.arange(784, dtype=np.uint8).reshape(28, 28)))
    whole = file.getvalue()
    at = whole.index(b"image.npy") + 12
    return whole[:at] + b"\xff" * 30 + whole[at + 30 :] if damaged else whole


@pytest.mark.parametrize(
    "body",
    [
        squeezed(zipfile.ZIP_DEFLATED, damaged=True),
        squeezed(zipfile.ZIP_LZMA, damaged=True),
        squeezed(zipfile.ZIP_LZMA),
        squeezed(zipfile.ZIP_BZIP2),
    ],
    ids=["damaged", "damaged lzma", "lzma", "bzip2"],
)
def test_an_archive_that_is_damaged_or_none_of_numpys_is_refused(
    reader: TestClient, body: bytes
) -> None:
    answer = ask(reader, body, "application/x-npz")
    check_problem(answer, 422)
    assert answer.json()["reason"] == "unusable_array"


TYPES = [*GENERAL, "image/png", "application/json", "application/x-npy", "application/x-npz"]
STARTS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"\x93NUMPY\1\0", b"PK\3\4"]
STARTS += [b"RIFF\0\0\0\0WEBP", b"BM", b"GIF89a", b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic"]
STARTS += [b"{", b'{"instances":[', b"[[", b"data:", b"1,2,3\n", b"image=", b"%7B", b"--x\r\n"]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([*TYPES, "text/csv", "multipart/form-data; boundary=x"]),
    st.sampled_from(STARTS),
    st.binary(max_size=900),
    st.sampled_from([{}, {"dtype": "float32"}, {"shape": "28,28,3"}]),
)
def test_any_bytes_with_any_label_are_answered(
    reader: TestClient, media_type: str, start: bytes, rest: bytes, query: dict[str, str]
) -> None:
    answer = ask(reader, start + rest, media_type, **query)
    assert answer.status_code in (200, 400, 415, 422), answer.text


def test_guessing_is_cheap(reader: TestClient) -> None:
    for body in (b"[" * 5_000_000, b"1," * 2_000_000, b"A" * 5_000_000, b"%41" * 2_000_000):
        answer = check_cheap(reader, partial(ask, reader, body, CURL), 400)
        check_problem(answer, 400, 422)
    assert predict_input.actual_type("", b"") == "application/octet-stream"
