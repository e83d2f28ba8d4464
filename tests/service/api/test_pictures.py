"""Curves, weights and samples as pictures, and weights as files."""

import base64
import hashlib
import io
import json
import re
import threading
import time
from contextlib import contextmanager
from html import unescape

import httpx2
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from mlp_client.job_state import State
from service.api import curves, weights
from service.domain.errors import NotTrainedYet
from service.inference.model_cache import ModelCache
from service.pictures import contact_sheet
from service.store.jobs import JobStore
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.support.live_service import claimed, epoch, record
from tests.support.server_process import eventually

TEN = [f"Digit {digit}" for digit in range(10)]


def picture(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def texts(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/svg+xml"
    return [unescape(found) for found in re.findall(r"<text[^>]*>([^<]*)</text>", answer.text)]


def split_of(datasets_dir, name):
    [images] = datasets_dir.glob(f"mnist-*/{name}-images-idx3-ubyte.npy")
    [labels] = datasets_dir.glob(f"mnist-*/{name}-labels-idx1-ubyte.npy")
    return np.load(images).reshape(-1, 28, 28), np.load(labels)


# --- Curves ---


def test_a_jobs_curves_are_captioned_with_its_recipe(reader, world):
    words = texts(reader.get(f"/v1/jobs/{world.linear}/curves.svg"))
    epochs = reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]
    seconds = sum(found["seconds"] for found in epochs)
    assert f"2 epochs in {seconds:.1f} s · sgd · learning rate 0.1 · batch size 256" in words


@pytest.mark.parametrize(
    ("spec", "caption"),
    [
        ({"optimizer": {"momentum": 0.9}}, "sgd, momentum 0.9 · learning rate 0.1 · batch size 64"),
        (
            {"preset": "mlp-augmented"},
            "adamw · augmented · learning rate 0.001, cosine · batch size 256",
        ),
    ],
)
def test_a_caption_names_optimizer_and_augmentation(api, house, spec, caption):
    job = submit(api, **spec, epochs=1)
    record(claimed(house), 1)
    written = texts(api.get(f"/v1/jobs/{job}/curves.svg"))
    [shown] = [words for words in written if "epoch in" in words]
    assert re.fullmatch(rf"1 epoch in \d\.\d s · {re.escape(caption)}", shown)


def test_curves_can_be_drawn_while_the_job_trains(api, house):
    job = submit(api, epochs=9, name="half <done> & $x$")
    path = f"/v1/jobs/{job}/curves.svg"
    attempt = claimed(house)
    assert any("0 of 9 epochs" in words for words in texts(api.get(path)))
    record(attempt, 1, 2)
    caption = "2 of 9 epochs in 0.5 s · sgd · learning rate 0.1 · batch size 64"
    assert caption in texts(api.get(path))
    assert picture(api.get(f"/v1/jobs/{job}/curves.png")).size == (2000, 840)


@pytest.mark.parametrize(
    ("query", "size", "corner"),
    [
        ("", (2000, 840), (255, 255, 255)),
        ("?width=200&height=150", (400, 300), (255, 255, 255)),
        ("?width=600&height=1000&theme=dark", (1200, 2000), (22, 27, 34)),
    ],
)
def test_curves_have_the_size_and_paper_asked_for(reader, world, query, size, corner):
    drawn = picture(reader.get(f"/v1/jobs/{world.linear}/curves.png{query}"))
    assert drawn.size == size
    assert drawn.convert("RGB").getpixel((1, 1)) == corner


@pytest.mark.parametrize(
    "query",
    ["width=199", "width=4001", "height=149", "height=3001", "theme=blue", "width=x"],
)
def test_a_size_out_of_range_is_refused_by_name(reader, world, query):
    answer = reader.get(f"/v1/jobs/{world.linear}/curves.png?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_several_jobs_share_a_picture_in_the_order_given(reader, world):
    def order(*jobs):
        words = texts(reader.get("/v1/curves.svg", params={"jobs": ",".join(jobs)}))
        return [word for word in words if word in ("linear", "deep one")]

    assert order(world.linear, world.deep) == ["linear", "deep one"]
    assert order(world.deep, world.linear) == ["deep one", "linear"]


def test_a_job_named_twice_is_drawn_once(reader, world):
    twice = reader.get("/v1/curves.png", params={"jobs": f" {world.deep} ,,{world.deep},"})
    once = reader.get(f"/v1/jobs/{world.deep}/curves.png")
    assert twice.content == once.content


def test_a_job_without_a_name_goes_by_its_id(api):
    job, other = submit(api), submit(api, preset="linear")
    words = texts(api.get("/v1/curves.svg", params={"jobs": f"{job},{other}"}))
    assert {"linear", job[:27] + "…"} <= {word.strip() for word in words}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid"),
        ("?jobs=", 422, "invalid"),
        ("?jobs=,%20,", 422, "invalid"),
        ("?jobs=" + ",".join(f"j{n}" for n in range(17)), 422, "invalid"),
        ("?jobs=" + "x" * 1025, 422, "invalid"),
        ("?jobs=nope", 404, "job-not-found"),
        ("?jobs=%00", 404, "job-not-found"),
    ],
)
def test_none_too_many_or_unknown_jobs_are_refused(reader, query, status, code):
    answer = reader.get(f"/v1/curves.png{query}")
    check_problem(answer, status)
    assert answer.json()["code"] == code


def test_sixteen_jobs_fit_the_smallest_picture(api, house):
    jobs = [submit(api, name=f"number {n} of sixteen") for n in range(16)]
    for _ in jobs:
        record(claimed(house), 1, 2)
    query = {"jobs": ",".join(jobs), "width": 200, "height": 150}
    assert picture(api.get("/v1/curves.png", params=query)).size == (400, 300)


def test_curves_change_their_tag_with_the_epochs_and_the_looks(api, house):
    job = submit(api)
    attempt = claimed(house)
    path = f"/v1/jobs/{job}/curves.svg"

    def tag(query=""):
        return api.get(path + query).headers["ETag"]

    first = tag()
    assert tag() == first
    attempt.beat((1, 0), [epoch(1)])
    tags = [first, tag(), tag("?width=300"), tag("?theme=dark"), tag("?height=300")]
    assert len(set(tags)) == 5


def test_renders_never_run_at_once(live, monkeypatch):
    job, now, most = submit(live.http), [], []

    def draw(*_, **__):
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        now.pop()
        return b""

    monkeypatch.setattr(curves.curves, "draw", draw)
    paths = [f"/v1/jobs/{job}/curves.png", f"/v1/curves.svg?jobs={job}"] * 6
    threads = [threading.Thread(target=live.http.get, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12


# --- Heavy answers ---

UNTRAINED = NotTrainedYet("x", State.QUEUED, ended=False)


class Blocked:
    """What stands in for a slow maker: it waits until it may go on, and counts."""

    def __init__(self, result):
        self.go, self.result = threading.Event(), result
        self.calls = []

    @property
    def begun(self):
        return len(self.calls)

    def __call__(self, *_, **__):
        self.calls.append(1)  # several threads do; a number would lose some
        assert self.go.wait(20)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@contextmanager
def asked(live, path, times, maker, at_once=1):
    """Ask `times` times at once and go on meanwhile; at the end all are answered."""

    def ask():
        with httpx2.Client(base_url=live.http.base_url, timeout=20) as client:
            client.get(path)

    threads = [threading.Thread(target=ask) for _ in range(times)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: maker.begun >= at_once, "the first to be made")
        time.sleep(0.5)  # for one too many
        yield
    finally:
        maker.go.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.parametrize(
    ("path", "place", "name", "result", "most"),
    [
        ("/v1/jobs/{job}/curves.png", curves.curves, "draw", b"", 1),
        ("/v1/curves.svg?jobs={job}", curves.curves, "draw", b"", 1),
        ("/v1/jobs/{job}/epochs", JobStore, "epochs", [], 2),
        ("/v1/jobs/{job}/epochs.csv", JobStore, "epochs", [], 2),
        ("/v1/models/{job}/weights.npz", ModelCache, "get", UNTRAINED, 2),
        ("/v1/models/{job}/layers/1/weights.png", ModelCache, "get", UNTRAINED, 2),
        ("/v1/datasets/mnist/samples.png", contact_sheet, "draw", b"", 2),
    ],
)  # fmt: skip
def test_heavy_answers_are_made_few_at_once_and_cheap_ones_need_not_wait(
    live, monkeypatch, path, place, name, result, most
):
    path, maker = path.format(job=submit(live.http)), Blocked(result)
    monkeypatch.setattr(ModelCache, "newest_checkpoint", lambda *_: "a checkpoint")
    monkeypatch.setattr(place, name, maker)
    with asked(live, path, 45, maker, most):
        assert maker.begun == most
        started = time.monotonic()
        assert live.http.get("/v1/jobs?limit=1").status_code == 200
        assert time.monotonic() - started < 5
    assert maker.begun == 45


@pytest.mark.parametrize(
    ("path", "place", "name"),
    [
        ("/v1/jobs/{job}/curves.png", curves.curves, "draw"),
        ("/v1/datasets/mnist/samples.png", contact_sheet, "draw"),
        ("/v1/jobs/{job}/epochs.csv", JobStore, "epochs"),
    ],
)
def test_what_the_client_has_waits_for_no_place(live, monkeypatch, path, place, name):
    path, maker = path.format(job=submit(live.http)), Blocked([] if name == "epochs" else b"")
    held = {"If-None-Match": live.http.get(path).headers["ETag"]}
    monkeypatch.setattr(place, name, maker)
    with asked(live, path, 3, maker):
        assert live.http.get(path, headers=held).status_code == 304


def test_nothing_is_made_for_clients_who_have_left(live, monkeypatch):
    maker, path = Blocked(b""), "/v1/datasets/mnist/samples.png"
    monkeypatch.setattr(contact_sheet, "draw", maker)
    with asked(live, path, 2, maker, 2):
        for _ in range(3):
            with pytest.raises(httpx2.TimeoutException):
                httpx2.get(f"{str(live.http.base_url).rstrip('/')}{path}", timeout=0.2)
    assert live.http.get(path).status_code == 200
    assert maker.begun == 3


# --- Weights ---


def test_the_linear_models_weights_are_ten_named_templates(reader, world):
    path = f"/v1/models/{world.linear}/layers/1/weights"
    assert texts(reader.get(f"{path}.svg")) == TEN
    wide, high = picture(reader.get(f"{path}.png")).size
    assert 2 < wide / high < 2.2  # five columns, two rows and their titles


def test_templates_show_the_weights(reader, world):
    answer = reader.get(
        f"/v1/models/{world.linear}/layers/1/weights.svg?units=1&offset=3&tile=28&columns=1"
    )
    [data] = re.findall(r"data:image/png;base64,([^\"]+)", answer.text)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)
    shown = pixels[-28 - 3 : -3, 3:31]  # a tile of 28 lies 28 // 9 = 3 from the edges
    weights = load(reader.get(f"/v1/models/{world.linear}/weights.safetensors").content)
    template = weights["layers.1.weight"][:, 3].reshape(28, 28)
    strongest = np.unravel_index(np.abs(template).argmax(), template.shape)
    red, _, blue = shown[strongest]
    assert (blue > red) == (template[strongest] > 0)
    redness = (shown[..., 0] - shown[..., 2]).ravel()
    assert np.corrcoef(redness, template.ravel())[0, 1] < -0.9


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("units=3", TEN[:3]),
        ("offset=7", TEN[7:]),
        ("units=2&offset=4", TEN[4:6]),
        ("units=1024&offset=9", TEN[9:]),
        ("scale=each&theme=dark", TEN),
    ],
)
def test_a_part_of_the_units_can_be_drawn(reader, world, query, titles):
    answer = reader.get(f"/v1/models/{world.linear}/layers/1/weights.svg?{query}")
    assert texts(answer) == titles


def test_columns_and_tiles_decide_the_pictures_shape(reader, world):
    path = f"/v1/models/{world.linear}/layers/1/weights.png"
    row = picture(reader.get(f"{path}?columns=10&tile=56")).size
    column = picture(reader.get(f"{path}?columns=1&tile=56")).size
    assert row[0] > 560 > 150 > row[1]
    assert column[1] > 560 > 150 > column[0]


def test_a_scale_of_their_own_changes_the_tiles(reader, world):
    path = f"/v1/models/{world.linear}/layers/1/weights.png"
    shared, each = (reader.get(f"{path}?scale={scale}").content for scale in ("shared", "each"))
    assert shared != each


def test_a_hidden_layers_templates_have_no_titles_and_a_deeper_one_is_a_matrix(reader, world):
    path = f"/v1/models/{world.deep}/layers"
    assert texts(reader.get(f"{path}/1/weights.svg")) == []
    assert texts(reader.get(f"{path}/2/weights.svg")) == ["Layer 2: 12 inputs, 11 units (rows)"]
    assert texts(reader.get(f"{path}/3/weights.svg")) == ["Layer 3: 11 inputs, 10 units (rows)"]


def test_a_picture_that_lacks_units_says_so(reader, world):
    path = f"/v1/models/{world.deep}/layers"
    templates, whole = (reader.get(f"{path}/1/weights.svg?units={n}") for n in (8, 12))
    assert texts(templates) == ["8 of 12 units"]
    assert texts(whole) == []
    later = reader.get(f"{path}/1/weights.svg?offset=4&theme=dark")
    assert texts(later) == ["8 of 12 units, from 4 on"]
    assert texts(reader.get(f"{path}/1/weights.svg?units=1&tile=28")) == []  # there is no room
    matrix = reader.get(f"{path}/2/weights.svg?units=5")
    assert texts(matrix) == ["Layer 2: 12 inputs, 5 of 11 units (rows)"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("layers/2/weights.png", "layer-not-found"),
        ("layers/2147483648/weights.png", "layer-not-found"),
        ("layers/1/weights.png?offset=10", "not-found"),
        ("layers/1/weights.svg?offset=2147483648", "not-found"),
    ],
)
def test_a_layer_or_unit_that_is_not_there_is_not_found(reader, world, path, code):
    answer = reader.get(f"/v1/models/{world.linear}/{path}")
    check_problem(answer, 404)
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "query",
    ["units=0", "units=1025", "offset=-1", "tile=7", "tile=513", "columns=0", "columns=65"],
)
def test_a_number_out_of_range_is_refused_by_name(reader, world, query):
    answer = reader.get(f"/v1/models/{world.linear}/layers/1/weights.png?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_weights_are_the_same_in_every_format(reader, world):
    path = f"/v1/models/{world.deep}/weights"
    tensors = load(reader.get(f"{path}.safetensors").content)
    arrays = np.load(io.BytesIO(reader.get(f"{path}.npz").content), allow_pickle=False)
    lists = reader.get(f"{path}.json").json()
    shapes = {name: array.shape for name, array in tensors.items()}
    sizes = [784, 12, 11, 10]
    assert shapes == {f"layers.{k}.weight": (sizes[k - 1], sizes[k]) for k in (1, 2, 3)} | {
        f"layers.{k}.bias": (sizes[k],) for k in (1, 2, 3)
    }
    assert set(arrays) == set(lists) == set(tensors)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(arrays[name], tensor)
        np.testing.assert_array_equal(np.array(lists[name], np.float32), tensor)


def test_the_jobs_digest_is_that_of_the_tensor_data(reader, world):
    # safetensors: 8 bytes of header length, little-endian; the header; the data.
    for job in (world.linear, world.deep):
        file = reader.get(f"/v1/models/{job}/weights.safetensors").content
        data = file[8 + int.from_bytes(file[:8], "little") :]
        known = reader.get(f"/v1/jobs/{job}").json()["weights_sha256"]
        assert hashlib.sha256(data).hexdigest() == known


def test_a_file_of_weights_is_named_after_its_job(reader, world):
    for suffix, media_type in (
        ("safetensors", "application/octet-stream"),
        ("npz", "application/zip"),
        ("json", "application/json"),
    ):
        answer = reader.get(f"/v1/models/latest/weights.{suffix}")
        assert answer.headers["Content-Type"] == media_type
        named = f'attachment; filename="{world.linear}.{suffix}"'
        assert answer.headers["Content-Disposition"] == named


def test_weights_that_are_too_many_for_json_are_offered_otherwise(reader, monkeypatch):
    monkeypatch.setattr("service.api.weights.MAX_JSON_PARAMETERS", 7_849)
    answer = reader.get("/v1/models/latest/weights.json")
    check_problem(answer, 422)
    assert ".safetensors" in answer.json()["detail"]
    assert reader.get("/v1/models/latest/weights.npz").status_code == 200


def test_one_column_of_many_tiles_stays_a_picture_of_bounded_size(reader, world):
    answer = reader.get(f"/v1/models/{world.deep}/layers/1/weights.png?columns=1")
    width, _ = Image.open(io.BytesIO(answer.content)).size
    assert width < 150


def test_latest_is_the_job_that_succeeded_last(reader, world):
    path = "layers/1/weights.png?units=2"
    latest = reader.get(f"/v1/models/latest/{path}")
    assert latest.content == reader.get(f"/v1/models/{world.linear}/{path}").content
    assert latest.content != reader.get(f"/v1/models/{world.deep}/{path}").content


@pytest.mark.parametrize("path", ["weights.npz", "layers/1/weights.svg"])
def test_weights_that_are_not_there_yet_ask_to_come_back(api, path):
    answer = api.get(f"/v1/models/{submit(api)}/{path}")
    check_problem(answer, 409)
    assert answer.json()["code"] == "no-checkpoint-yet"
    assert answer.headers["Retry-After"] == "1"


# --- Samples ---


@pytest.mark.parametrize(
    ("split", "folder", "index"),
    [("test", "t10k", 0), ("test", "t10k", 9999), ("train", "train", 59_999)],
)
def test_a_sample_is_the_data_sets_own_pixels(reader, datasets_dir, split, folder, index):
    images, labels = split_of(datasets_dir, folder)
    path = f"/v1/datasets/mnist/{split}/{index}"
    sample = reader.get(f"{path}.json").json()
    assert sample["pixels"] == images[index].tolist()
    assert (sample["dataset"], sample["split"], sample["index"]) == ("mnist", split, index)
    assert sample["label"] == labels[index]
    np.testing.assert_array_equal(np.asarray(picture(reader.get(f"{path}.png"))), images[index])


@pytest.mark.parametrize(
    "path",
    [
        "test/10000.png",
        "test/10000.json",
        "train/60000.png",
        "test/2147483648.json",
        "samples.png?offset=10000",
        "samples.png?split=train&offset=60000",
    ],
)
def test_a_row_that_is_not_there_is_not_found(reader, path):
    answer = reader.get(f"/v1/datasets/mnist/{path}")
    check_problem(answer, 404)
    assert re.search(r"has rows 0 to 5?9999\.", answer.json()["detail"])


def test_a_contact_sheet_shows_the_samples(reader, datasets_dir):
    images, _ = split_of(datasets_dir, "t10k")
    sheet = picture(reader.get("/v1/datasets/mnist/samples.png?limit=3&offset=7&columns=3&tile=28"))
    pixels = np.asarray(sheet.convert("L"))
    for n in range(3):  # tiles of 28 lie 28 // 14 = 2 apart
        left = 2 + 30 * n
        np.testing.assert_array_equal(pixels[2:30, left : left + 28], images[7 + n])


def test_the_last_sheet_is_shorter(reader):
    path = "/v1/datasets/mnist/samples.png?columns=5&limit=10"
    assert picture(reader.get(f"{path}&offset=9999")).height < picture(reader.get(path)).height


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=401", "?limit"),
        ("offset=-1", "?offset"),
        ("columns=51", "?columns"),
        ("tile=257", "?tile"),
        ("split=all", "?split"),
    ],
)
def test_a_sheet_out_of_range_is_refused_by_name(reader, path, pointer):
    answer = reader.get(f"/v1/datasets/mnist/samples.png?{path}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_picture_that_would_be_giant_is_refused(reader):
    answer = reader.get("/v1/datasets/mnist/samples.png?limit=400&tile=256")
    check_problem(answer, 422)
    assert answer.json()["detail"] == "400 tiles of 256x256 are too much for one picture."


def test_the_data_set_is_described_with_its_licence(reader):
    [listed] = reader.get("/v1/datasets").json()["data"]
    assert reader.get("/v1/datasets/mnist").json() == listed
    assert (listed["train_rows"], listed["test_rows"]) == (60_000, 10_000)
    assert (listed["image_shape"], listed["classes"]) == ([28, 28], list("0123456789"))
    assert listed["license"] == "CC BY-SA 3.0"
    assert "LeCun" in listed["attribution"]
    assert len(listed["sha256"]) == 4


@pytest.mark.parametrize(
    "path", ["", "/samples.png", "/test/0.png", "/test/0.json"], ids=lambda path: path or "itself"
)
@pytest.mark.parametrize("name", ["fashion", "%00", "%2e%2e", "MNIST"])
def test_an_unknown_data_set_is_not_found(reader, name, path):
    answer = reader.get(f"/v1/datasets/{name}{path}")
    check_problem(answer, 404)
    assert answer.json()["code"] == "dataset-not-found"


# --- What the client may have already ---

CONDITIONAL = [
    "/v1/jobs/{linear}",
    "/v1/jobs/{linear}/epochs.csv",
    "/v1/jobs/{linear}/curves.png",
    "/v1/jobs/{linear}/curves.svg",
    "/v1/curves.png?jobs={linear},{deep}",
    "/v1/models/{linear}/weights.safetensors",
    "/v1/models/latest/weights.json",
    "/v1/models/{deep}/layers/2/weights.png",
    "/v1/datasets/mnist/samples.png",
    "/v1/datasets/mnist/test/3.png",
    "/v1/datasets/mnist/test/3.json",
]


@pytest.mark.parametrize("path", CONDITIONAL)
def test_what_the_client_has_is_not_sent_again(reader, world, path):
    path = path.format(linear=world.linear, deep=world.deep)
    tag = reader.get(path).headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for held in (tag, f"W/{tag}", f'"other", {tag}', f'W/"x",W/{tag} , "y"', "*"):
        answer = reader.get(path, headers={"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert answer.headers["Cache-Control"] == "no-cache"
    for held in ('"other"', "", tag[:-2] + '"', "junk,,"):
        answer = reader.get(path, headers={"If-None-Match": held})
        assert (answer.status_code, answer.headers["ETag"]) == (200, tag)


def test_every_conditional_picture_has_a_tag_of_its_own(reader, world):
    paths = [path.format(linear=world.linear, deep=world.deep) for path in CONDITIONAL]
    weights = f"/v1/models/{world.linear}/layers/1/weights"
    looks = ("units=3", "offset=1", "tile=9", "columns=2", "scale=each", "theme=dark")
    paths += [f"{weights}.png", f"{weights}.svg", *(f"{weights}.svg?{look}" for look in looks)]
    tags = [reader.get(path).headers["ETag"] for path in paths]
    assert len(set(tags)) == len(tags)


def test_a_job_that_changes_changes_its_tag(api):
    job = submit(api)
    held = {"If-None-Match": api.get(f"/v1/jobs/{job}").headers["ETag"]}
    assert api.get(f"/v1/jobs/{job}", headers=held).status_code == 304
    api.post(f"/v1/jobs/{job}/pause")
    answer = api.get(f"/v1/jobs/{job}", headers=held)
    assert json.loads(answer.content)["state"] == "paused"


@pytest.mark.parametrize(
    ("n_in", "units", "pixels"), [(1000, 10, 8), (32, 10, 1), (448, 10, 4), (128, 500, 1)]
)
def test_each_unit_of_a_wide_layer_has_a_row_that_can_be_seen(n_in, units, pixels):
    assert weights.row_height(n_in, units) == pixels
