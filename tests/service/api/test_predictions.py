"""Predictions: whatever form the image comes in, the network says what the arithmetic says."""

import base64
import gc
import hashlib
import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from mlp_client.predictions import Predictions
from service.api import predict, predict_input
from service.inference import image_decoding
from tests.conftest import QUICK
from tests.service.api.test_hostile_bodies import check_cheap, check_problem
from tests.service.api.test_jobs import submit
from tests.support.live_service import claimed, train
from tests.support.oracles import row_probabilities
from tests.support.server_process import Server, resident

PATH = "/v1/models/latest/predict"
SEVEN = 0  # the first image of the test set; most here is asked about it


@pytest.fixture(scope="session")
def images(datasets_dir):
    [path] = datasets_dir.glob("mnist-*/t10k-images-idx3-ubyte.npy")
    return np.array(np.load(path)[:20]).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def expected(reader, world, images):
    """The probabilities of each image by the linear model, in float64 and one row at a time."""
    tensors = load(reader.get(f"/v1/models/{world.linear}/weights.safetensors").content)
    parameters = [(tensors["layers.1.weight"].astype(float), tensors["layers.1.bias"])]
    return [row_probabilities(parameters, "relu", image.ravel() / 255) for image in images]


def encoded(pixels, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def ask(reader, body, media_type, **query):
    headers = {"Content-Type": media_type}
    return reader.post(PATH, content=body, headers=headers, params=query)


def ask_json(reader, *inputs, **fields):
    return reader.post(PATH, json={"inputs": list(inputs), **fields})


def only(answer):
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    return prediction


def check(prediction, probabilities, tolerance=1e-5):
    ranked = sorted(range(10), key=lambda label: -probabilities[label])[:3]
    assert [candidate["label"] for candidate in prediction["top_k"]] == ranked
    told = [candidate["probability"] for candidate in prediction["top_k"]]
    assert told == pytest.approx([probabilities[label] for label in ranked], abs=tolerance)
    assert (prediction["label"], prediction["probability"]) == (ranked[0], told[0])


# --- The forms ---

FILES = {
    "png": lambda pixels: ("image/png", encoded(pixels)),
    "bmp": lambda pixels: ("image/bmp", encoded(pixels, "BMP")),
    "webp": lambda pixels: ("image/webp", encoded(pixels, "WEBP", lossless=True)),
    "gif": lambda pixels: ("image/gif", encoded(pixels, "GIF")),
    "rgb": lambda pixels: ("image/png", encoded(np.repeat(pixels[..., None], 3, 2))),
    "uint8 array": lambda pixels: ("application/x-npy", npy(pixels)),
    "row": lambda pixels: ("application/x-npy", npy(pixels.ravel())),
    "batch of one": lambda pixels: ("application/x-npy", npy(pixels.reshape(1, 784))),
    "bytes of an array": lambda pixels: ("application/octet-stream", npy(pixels)),
    "bare pixels": lambda pixels: ("application/octet-stream", pixels.tobytes()),
    "float64": lambda pixels: ("application/x-npy", npy(pixels / 255)),
    "float32": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(np.float32))),
    "float16": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(np.float16))),
    "big-endian": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(">f4"))),
    "fortran order": lambda pixels: ("application/x-npy", npy(np.asfortranarray(pixels))),
    "version 2": lambda pixels: ("application/x-npy", npy(pixels, (2, 0))),
}


@pytest.mark.parametrize("form", FILES)
def test_the_body_may_be_any_kind_of_file(reader, images, expected, form):
    media_type, body = FILES[form](images[SEVEN])
    check(only(ask(reader, body, media_type)), expected[SEVEN])


JSON_FORMS = {
    "rows of pixels": lambda pixels: {"pixels": pixels.tolist()},
    "784 pixels": lambda pixels: {"pixels": pixels.ravel().tolist()},
    "rows of values": lambda pixels: {"values": (pixels / 255).tolist()},
    "784 values": lambda pixels: {"values": (pixels / 255).ravel().tolist()},
    "base64": lambda pixels: {"base64": base64.b64encode(encoded(pixels)).decode()},
    "data URL": lambda pixels: {
        "base64": "data:image/png;base64," + base64.b64encode(encoded(pixels)).decode()
    },
    "sample": lambda pixels: {"dataset": "mnist", "split": "test", "index": SEVEN},
    "test sample": lambda pixels: {"dataset": "mnist", "index": SEVEN},
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_the_image_may_stand_in_json_in_any_form(reader, images, expected, form):
    answer = ask_json(reader, JSON_FORMS[form](images[SEVEN]))
    check(only(answer), expected[SEVEN])


def test_whole_values_are_values(reader, images):
    white = (images[SEVEN] > 127).astype(int)
    told = only(ask_json(reader, {"values": white.tolist()}))
    assert told["top_k"] == only(ask_json(reader, {"pixels": (255 * white).tolist()}))["top_k"]


def test_a_jpeg_says_nearly_the_same(reader, images, expected):
    body = encoded(images[SEVEN], "JPEG", quality=95)
    told = only(ask(reader, body, "image/jpeg"))
    assert told["label"] == 7
    assert told["probability"] == pytest.approx(expected[SEVEN][7], abs=0.05)


@pytest.mark.parametrize("shape", [(20, 28, 28), (20, 784)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_is_answered_in_its_order(reader, images, expected, shape, order):
    answer = ask(reader, npy(np.array(images.reshape(shape), order=order)), "application/x-npy")
    for told, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(told, probabilities)


def test_bare_pixels_may_be_several_images(reader, images, expected):
    answer = ask(reader, images.tobytes(), "application/octet-stream")
    for told, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(told, probabilities)


@pytest.mark.parametrize("count", [0, 783, 785, 784 * 10_001])
def test_bare_pixels_must_be_whole_images(reader, count):
    answer = ask(reader, bytes(count), "application/octet-stream")
    check_problem(answer, 422)
    assert "784 bytes" in answer.json()["detail"] or "10,000" in answer.json()["detail"]


def rows(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    return np.load(io.BytesIO(answer.content))


def ask_for_rows(reader, body, media_type, accept="application/x-npy"):
    headers = {"Content-Type": media_type, "Accept": accept}
    return reader.post(PATH, content=body, headers=headers)


@pytest.mark.parametrize("count", [1, 20])
def test_the_answer_may_be_an_array(reader, images, expected, count):
    body = images[:count].tobytes()
    answer = ask_for_rows(
        reader, body, "application/octet-stream", "text/csv, Application/X-Npy;q=1"
    )
    found = rows(answer)
    assert (found.shape, found.dtype) == ((count, 10), np.float32)
    assert found == pytest.approx(np.array(expected[:count]), abs=1e-5)
    told = ask(reader, body, "application/octet-stream").json()
    names = ("model", "epochs_done", "checkpoint_sha256")
    headers = [answer.headers[name.replace("_", "-")] for name in names]
    assert headers == [str(told[name]) for name in names]


def test_an_image_that_can_not_be_read_is_a_row_of_nan(reader, images):
    blank = np.zeros((28, 28), np.uint8)
    pictures = np.stack([images[0], blank, 255 - images[1]])
    found = rows(ask_for_rows(reader, npy(pictures), "application/x-npy"))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]
    check_problem(ask_for_rows(reader, blank.tobytes(), "application/octet-stream"), 422)


def test_one_digit_is_answered_as_many_are(reader, images):
    """The short way, the usual one (a query, or a long body) and a batch say the same."""
    many = ask(reader, images.tobytes(), "application/octet-stream").json()
    for number, image in enumerate(images):
        forms = [
            ("application/octet-stream", image.tobytes()),
            ("image/png", encoded(image)),
            ("application/json", json.dumps({"inputs": [{"pixels": image.tolist()}]})),
        ]
        for media_type, body in forms:
            short = ask(reader, body, media_type).json()
            if media_type == "application/json":
                usual = ask(reader, body + " " * 10_000, media_type).json()
            else:
                usual = ask(reader, body, media_type, normalize="auto").json()
            assert short == usual
            [told], expected = short["predictions"], many["predictions"][number]
            assert (told["label"], told["input"]) == (expected["label"], expected["input"])
            assert told["probability"] == pytest.approx(expected["probability"], abs=1e-6)


def test_the_answer_is_what_its_schema_says(reader, images):
    blank, negative = np.zeros((28, 28), np.uint8), 255 - images[1]
    pictures = np.stack([images[0], blank, negative])
    body = {"inputs": [{"pixels": image.tolist()} for image in pictures], "return_pixels": True}
    told = reader.post(PATH, json=body).json()
    assert Predictions.model_validate(told).model_dump(exclude_none=True) == told


def test_a_digit_is_answered_without_a_thread(reader, images, monkeypatch):
    ask(reader, images[0].tobytes(), "application/octet-stream")  # now the network is known
    monkeypatch.setattr(predict, "to_thread", None)
    for image in images:
        assert only(ask(reader, image.tobytes(), "application/octet-stream"))["label"] is not None
        assert only(ask(reader, encoded(image), "image/png"))["label"] is not None
    metrics = reader.get("/metrics").text
    assert 'http_route="/v1/models/{ref}/predict"' in metrics


def test_a_deleted_network_is_gone_at_once(api, data_dir, datasets_dir, images):
    """Also for who has just asked it, and so has it in memory."""
    job = train(data_dir, datasets_dir, **QUICK)
    path, body = f"/v1/models/{job}/predict", images[0].tobytes()
    headers = {"Content-Type": "application/octet-stream"}
    for _ in range(3):
        assert api.post(path, content=body, headers=headers).status_code == 200
    assert api.delete(f"/v1/jobs/{job}").status_code == 204
    check_problem(api.post(path, content=body, headers=headers), 404)


def test_a_form_may_have_one_file_or_several(reader, images, expected):
    one = [("image", ("a.png", encoded(images[1]), "image/png"))]
    check(only(reader.post(PATH, files=one)), expected[1])
    several = [("image", ("x", encoded(image))) for image in images]
    for told, probabilities in zip(
        reader.post(PATH, files=several).json()["predictions"], expected, strict=True
    ):
        check(told, probabilities)


def test_the_answer_names_the_network_it_comes_from(reader, world):
    answer = ask_json(reader, {"dataset": "mnist", "index": 1}).json()
    assert (answer["model"], answer["epochs_done"]) == (world.linear, 2)
    [path] = Path(world.data_dir).glob(f"jobs/{world.linear}/1/2-0.safetensors")
    assert answer["checkpoint_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_deep_network_is_computed_through_all_its_layers(reader, world, images):
    tensors = load(reader.get(f"/v1/models/{world.deep}/weights.safetensors").content)
    layers = [(tensors[f"layers.{k}.weight"], tensors[f"layers.{k}.bias"]) for k in (1, 2, 3)]
    parameters = [(W.astype(float), b.astype(float)) for W, b in layers]
    body = {"inputs": [{"dataset": "mnist", "index": 4}]}
    told = only(reader.post(f"/v1/models/{world.deep}/predict", json=body))
    check(told, row_probabilities(parameters, "tanh", images[4].ravel() / 255))


# --- What can be asked for ---


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_best_candidates_come_first_and_all_ten_sum_to_one(reader, images, k):
    in_query = only(ask(reader, encoded(images[3]), "image/png", top_k=k))["top_k"]
    in_body = only(ask_json(reader, {"dataset": "mnist", "index": 3}, top_k=k))["top_k"]
    assert in_query == in_body
    chances = [candidate["probability"] for candidate in in_query]
    assert len(chances) == k
    assert chances == sorted(chances, reverse=True)
    assert (sum(chances) == pytest.approx(1, abs=1e-6)) == (k == 10)


@pytest.mark.parametrize("query", ["top_k=0", "top_k=11", "normalize=maybe", "return_pixels=2"])
def test_a_bad_option_is_refused_by_name(reader, images, query):
    headers = {"Content-Type": "image/png"}
    answer = reader.post(f"{PATH}?{query}", content=encoded(images[0]), headers=headers)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_what_has_mnists_form_passes_unchanged_and_is_shown(reader, images):
    told = only(ask(reader, encoded(images[2]), "image/png", return_pixels=True))
    rows, columns = np.nonzero(images[2])
    left, top = columns.min(), rows.min()
    assert told["input"] == {
        "normalized": False,
        "inverted": False,
        "box": [left, top, columns.max() - left + 1, rows.max() - top + 1],
        "pixels": images[2].tolist(),
    }
    assert "pixels" not in only(ask(reader, encoded(images[2]), "image/png"))["input"]


def test_a_big_dark_digit_on_light_is_turned_into_mnists_form(reader, images, expected):
    big = np.kron(255 - images[SEVEN], np.ones((9, 9), np.uint8))
    photo = np.pad(big, ((0, 200), (300, 0)), constant_values=255)
    told = only(ask(reader, encoded(photo), "image/png", return_pixels=True))
    assert told["label"] == 7
    assert (told["input"]["normalized"], told["input"]["inverted"]) == (True, True)
    seen = np.array(told["input"]["pixels"], float)
    assert np.abs(seen - images[SEVEN]).mean() < 12
    assert told["probability"] == pytest.approx(expected[SEVEN][7], abs=0.2)


def test_normalizing_can_be_forced_or_forbidden(reader, images, expected):
    body = encoded(images[SEVEN])
    assert only(ask(reader, body, "image/png", normalize="always"))["input"]["normalized"]
    negative = encoded(255 - images[SEVEN])
    check(only(ask(reader, negative, "image/png", normalize="auto")), expected[SEVEN])
    told = only(ask(reader, negative, "image/png", normalize="never", return_pixels=True))
    assert told["input"]["pixels"] == (255 - images[SEVEN]).tolist()


def test_without_normalizing_a_picture_must_have_the_networks_size(reader):
    answer = ask(reader, encoded(np.eye(30, 40, dtype=np.uint8)), "image/png", normalize="never")
    check_problem(answer, 422)
    assert answer.json()["detail"].endswith("must be 28x28, not 40x30.")


def test_a_faint_picture_is_answered_with_a_warning(reader, images):
    faint = encoded(np.kron(100 + images[SEVEN] // 8, np.ones((4, 4), np.uint8)))
    assert "low_contrast" in only(ask(reader, faint, "image/png"))["warnings"]


# --- Bad images, alone and in company ---

BLANK = {"pixels": [[9] * 28] * 28}


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (BLANK, "stands out"),
        ({"pixels": [[1, 2], [3]]}, "#/inputs/0: send 784 whole numbers"),
        ({"base64": "!"}, "#/inputs/0: the text is not valid base64"),
        ({"base64": base64.b64encode(b"no picture").decode()}, "picture"),
        ({"dataset": "mnist", "index": 10_000}, "#/inputs/0: test has rows 0 to 9999"),
        ({"dataset": "fashion", "index": 1}, "#/inputs/0: There is no data set 'fashion'"),
    ],
)
def test_one_bad_image_is_a_problem_and_among_others_has_its_own(reader, bad, word):
    alone = ask_json(reader, bad)
    check_problem(alone, 422)
    assert (alone.json()["code"], word in alone.json()["detail"]) == ("bad-image", True)
    answer = ask_json(reader, bad, {"dataset": "mnist", "index": SEVEN}).json()
    first, second = answer["predictions"]
    assert first["problem"]["code"] == "bad-image"
    assert "label" not in first
    assert (second["label"], "problem" in second) == (7, False)


def test_several_bad_images_are_several_problems(reader):
    answer = ask_json(reader, BLANK, {"base64": ""}, BLANK)
    assert answer.status_code == 200
    problems = [told["problem"]["status"] for told in answer.json()["predictions"]]
    assert problems == [422, 422, 422]


def test_a_bad_file_among_others_has_its_own_problem(reader, images):
    files = [("image", ("a", encoded(images[0]))), ("image", ("b", b"text"))]
    first, second = reader.post(PATH, files=files).json()["predictions"]
    assert (first["label"], second["problem"]["code"]) == (7, "bad-image")


@pytest.mark.parametrize(
    "files",
    [{"file": b"x"}, {"images": b"x"}, {"other": ("", b"x")}],
)
def test_a_form_without_an_image_says_how_to_name_it(reader, files):
    answer = reader.post(PATH, files=files, data={"image": "text"})
    check_problem(answer, 422)
    assert "'image'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"--x\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\n" + b"A" * 100_000 + b"\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 12 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + b"b" * 2_000_000,
    ],
    ids=["empty", "garbage", "nameless", "header", "fields", "text"],
)
def test_a_broken_form_is_a_problem(reader, body):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    check_problem(reader.post(PATH, content=body, headers=headers), 400, 422)


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # Starlette leaves its file open
def test_a_form_that_was_cut_is_a_problem(reader):
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
    check_problem(ask(reader, body, "multipart/form-data; boundary=x"), 400, 422)
    gc.collect()


def test_a_form_without_its_boundary_is_a_problem(reader):
    check_problem(ask(reader, b"--x\r\n", "multipart/form-data"), 400)


def test_a_job_without_a_checkpoint_asks_to_come_back(api, house):
    running, queued = submit(api), submit(api)
    assert claimed(house).job == running
    for job in (running, queued):
        answer = api.post(f"/v1/models/{job}/predict", json={"inputs": [BLANK]})
        check_problem(answer, 409)
        assert answer.json()["code"] == "no-checkpoint-yet"
        assert answer.headers["Retry-After"] == "1"


def test_a_job_that_ended_without_a_checkpoint_asks_nobody_to_come_back(api):
    job = submit(api)
    assert api.post(f"/v1/jobs/{job}/cancel").status_code == 200
    answer = api.post(f"/v1/models/{job}/predict", json={"inputs": [BLANK]})
    check_problem(answer, 409)
    assert "never" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers


def test_a_network_that_has_diverged_is_a_problem_in_every_form(
    api, data_dir, datasets_dir, images
):
    job = train(data_dir, datasets_dir, **QUICK)
    trained = api.app.state.services.models.get(job)
    weights = trained.arrays["layers.1.weight"]
    weights.setflags(write=True)
    weights[:] = 3e38
    for body, media_type, accept in (
        (images[0].tobytes(), "application/octet-stream", "*/*"),
        (images[0].tobytes(), "application/octet-stream", "application/x-npy"),
        (encoded(images[0]), "image/png", "*/*"),
        (json.dumps({"inputs": [{"dataset": "mnist", "index": 1}]}), "application/json", "*/*"),
    ):
        headers = {"Content-Type": media_type, "Accept": accept}
        answer = api.post(f"/v1/models/{job}/predict", content=body, headers=headers)
        check_problem(answer, 409)
        assert answer.json()["code"] == "network-diverged"


def test_there_is_no_latest_model_before_a_job_has_succeeded(api):
    submit(api)
    answer = api.post(PATH, json={"inputs": [BLANK]})
    check_problem(answer, 404)
    assert answer.json()["code"] == "job-not-found"
    assert "latest" in answer.json()["detail"]


# --- Bombs ---


def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_claiming(width, height):
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + body


def blank_picture(side):
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def animation():
    file = io.BytesIO()
    frames = [Image.new("L", (28, 28), n) for n in range(5)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_the_pictures_of_a_request_have_a_budget_together(reader):
    file = io.BytesIO()
    page = Image.new("L", (1900, 1900), 255)
    page.paste(0, (900, 500, 1000, 1400))
    page.save(file, "PNG")
    files = [("image", ("one.png", file.getvalue()))] * 8
    answers = reader.post(PATH, files=files).json()["predictions"]
    refused = ["problem" in answer for answer in answers]
    assert refused == [False] * 5 + [True] * 3
    assert "send fewer" in answers[-1]["problem"]["detail"]


@pytest.mark.parametrize(("shape", "status"), [((1000, 28, 28), 200), ((1001, 28, 28), 422)])
def test_more_pictures_than_can_be_redrawn_are_refused_together(reader, images, shape, status):
    body = npy(np.resize(np.roll(images[0], 3, axis=0), shape))
    answer = ask(reader, body, "application/x-npy")
    assert answer.status_code == status
    if status == 422:
        check_problem(answer, 422)
        assert "one request may have 1,000" in answer.json()["detail"]
    assert ask(reader, body, "application/x-npy", normalize="never").status_code == 200


def with_text_bomb(png):
    return png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:]


PICTURES = {
    "empty": lambda png: b"",
    "truncated": lambda png: png[:-40],
    "header only": lambda png: png[:30],
    "noise": lambda png: png[:8] + np.random.default_rng(1).bytes(500),
    "9000x9000": lambda png: blank_picture(9000),
    "65535x65535": lambda png: png_claiming(65535, 65535),
    "2^31": lambda png: png_claiming(2**31 - 1, 2**31 - 1),
    "more than 1 MiB": lambda png: png + bytes(1024**2),
    "animation": lambda png: animation(),
    "svg": lambda png: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "tiff": lambda png: encoded(np.eye(28, dtype=np.uint8), "TIFF"),
    "postscript": lambda png: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_hostile_picture_is_refused_in_no_time(reader, images, name):
    body = PICTURES[name](encoded(images[0]))
    answer = check_cheap(reader, lambda: ask(reader, body, "image/png"))
    check_problem(answer, 422)
    assert answer.json()["code"] == "bad-image"


def test_texts_in_a_picture_are_not_even_unpacked(reader, images):
    body = with_text_bomb(encoded(images[0]))
    answer = check_cheap(reader, lambda: ask(reader, body, "image/png"))
    assert answer.status_code == 200


def header(text, version=1):
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + size + text.encode("latin-1")


def described(descr="'|u1'", order="False", shape="(28, 28)"):
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")


PICKLE = b"cos\nsystem\n(S'exit 3'\ntR."
ARRAYS = {
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "pickle": b"\x80\x04\x95" + PICKLE,
    "zip": b"PK\x03\x04" + bytes(100),
    "version 3": npy(np.zeros((28, 28), np.uint8), (3, 0)),
    "version 9": b"\x93NUMPY\x09\x00" + bytes(100),
    "16 GB": described(shape="(20000000, 784)"),
    "16 GB of float64": described("'<f8'", shape="(2600000, 28, 28)"),
    "beyond 64 bits": described(shape="(" + "9" * 30 + ", 784)"),
    "negative": described(shape="(-1, 784)") + bytes(784),
    "none": described(shape="(0, 784)"),
    "10 001": described(shape="(10001, 784)") + bytes(10_001 * 784),
    "truth": described(shape="(True, 783)") + bytes(783),
    "scalar": described(shape="()") + bytes(1),
    "four dimensions": described(shape="(1, 1, 28, 28)") + bytes(784),
    "too short": described() + bytes(783),
    "too long": described() + bytes(785),
    "objects": described("'|O'") + PICKLE,
    "records": described("[('a', '<f4'), ('b', '|O')]") + PICKLE,
    "subarrays": described("('<f4', (2,))") + bytes(784 * 8),
    "integers": npy(np.zeros((28, 28), np.int32)),
    "uint16": npy(np.zeros((28, 28), np.uint16)),
    "booleans": npy(np.zeros((28, 28), bool)),
    "complex": npy(np.zeros((28, 28), complex)),
    "text": npy(np.full((28, 28), "a")),
    "dates": npy(np.zeros((28, 28), "M8[s]")),
    "nan": npy(np.full((28, 28), np.nan)),
    "infinity": npy(np.full((28, 28), np.inf)),
    "above 1": npy(np.full((28, 28), 1.01)),
    "below 0": npy(np.full((28, 28), -0.01)),
    "no dictionary": header("[1, 2]"),
    "other keys": header("{1: 1, 'a': 2}"),
    "unhashable keys": header("{[]: 1}"),
    "half a dictionary": header("{" * 50),
    "half a text": header("{'descr': '''"),
    "indented": header("  a\n b\n   c"),
    "brackets": header("[" * 9000),
    "parentheses": header("(" * 9000),
    "minuses": header("-" * 9000 + "1"),
    "long header": header("x" * 60_000),
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10),
    "no type": described("''"),
    "half a type": described("'f4,('"),
    "giant type": described("('<f4', (99999999999,))"),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_a_hostile_array_is_refused_in_no_time(reader, name):
    answer = check_cheap(reader, lambda: ask(reader, ARRAYS[name], "application/x-npy"))
    check_problem(answer, 422)


def test_a_size_of_true_counts_as_one(reader):
    body = described(shape="(True, 784)") + bytes(392) + b"\xff" * 392
    assert only(ask(reader, body, "application/x-npy", normalize="never", top_k=10))


def test_ten_thousand_images_are_answered_at_once(reader, datasets_dir):
    [path] = datasets_dir.glob("mnist-*/t10k-images-idx3-ubyte.npy")
    [labels] = datasets_dir.glob("mnist-*/t10k-labels-idx1-ubyte.npy")
    answer = ask(reader, npy(np.array(np.load(path))), "application/x-npy", top_k=1)
    told = [prediction["label"] for prediction in answer.json()["predictions"]]
    accuracy = reader.get("/v1/jobs/" + answer.json()["model"]).json()["metrics"]["final"]
    assert np.mean(told == np.load(labels)) == pytest.approx(accuracy["test_accuracy"], abs=1e-9)


# --- A real server under these bodies ---


@pytest.fixture
def busy(world, datasets_dir, tmp_path):
    shutil.copytree(world.data_dir, tmp_path / "data")
    server = Server(tmp_path / "data", datasets_dir).start()
    yield server
    server.stop()


def test_hostile_bodies_leave_the_servers_memory_as_it_was(busy, images):
    bodies = [("application/x-npy", body) for body in ARRAYS.values()]
    bodies += [("image/png", make(encoded(images[0]))) for make in PICTURES.values()]

    def send_all():
        for media_type, body in bodies:
            busy.http.post(PATH, content=body, headers={"Content-Type": media_type})

    send_all()
    before = resident(busy.pid)
    for _ in range(5):
        send_all()
    assert resident(busy.pid) - before <= 16
    assert busy.http.get("/readyz").json()["status"] == "ready"


# --- What is answered at once ---


@pytest.mark.parametrize(
    ("body", "quick"),
    [
        (b'{"inputs": [{"pixels": [0, 1]}]}', True),
        (b'{"inputs": [{"base64": "aGk="}], "top_k": 2}', True),
        (b'{"inputs": [{}, 1, 1, 1, 1, 1, 1, 1]}', False),
        (b'{"inputs": [{"dataset": "mnist", "index": 1}]}', False),
        (b'{"inputs": [{"d\\u0061taset": "mnist", "index": 1}]}', False),
        (b'{"inputs": [{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}]}', False),
        (b'{"a": 1, "b": 1, "c": 1, "d": 1, "inputs": [{}]}', False),
        (b'{"inputs": {"pixels": []}}', False),
        (b'[{"inputs": [{}]}]', False),
    ],
)
def test_only_a_request_about_one_image_is_quick_to_read(body, quick):
    parsed = predict_input.parse("application/json", body)
    assert predict_input.is_quick("application/json", parsed) == quick


def test_a_picture_that_hides_its_size_is_not_read_at_once():
    file, other = io.BytesIO(), chunk(b"tEXt", bytes([0, 0, 0, 28] * 2))
    Image.new("L", (2000, 2000)).save(file, "PNG")
    png = file.getvalue()
    assert not image_decoding.is_small_png(png[:8] + other + png[8:])


def test_a_field_of_a_json_body_comes_before_the_query_parameter_of_its_name(reader):
    inputs = {"inputs": [{"dataset": "mnist", "index": 1}]}
    for body, count in ((inputs, 1), (inputs | {"top_k": 2}, 2)):
        answer = reader.post(PATH, json=body, params={"top_k": 1, "return_pixels": True})
        [told] = answer.json()["predictions"]
        assert len(told["top_k"]) == count
        assert told["input"]["pixels"]


def test_a_picture_with_exif_is_not_read_at_once():
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG")
    assert image_decoding.is_small_png(file.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 3
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "PNG", exif=exif)
    assert not image_decoding.is_small_png(file.getvalue())
