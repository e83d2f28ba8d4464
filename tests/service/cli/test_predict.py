"""The command `mlp-service predict`."""

import base64
import io
import json
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import run
from tests.support.fake_service import FakeService, problem, serving


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Rich treat stdout as a terminal."""
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "90"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_terminal")
def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    path = tmp_path / "[red].png"
    Image.new("L", (28, 28)).save(path)
    with serving(FakeService()) as url:
        result = run("predict", path.name, path.name, "--url", url)
    assert result.exit_code == 0
    assert result.stdout.count("[red].png") == 2
    assert result.stdout.count("│ 7     │ 90.0%") == 2
    assert result.stdout.count("1 10.0%") == 2


@pytest.mark.usefixtures("_terminal")
def test_a_table_of_many_images_is_cut_and_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", np.zeros((1052, 784), np.uint8))
    with serving(FakeService()) as url:
        result = run("predict", "digits.npy", "--url", url)
    assert result.stdout.count("│ 90.0%") == 50
    assert "digits.npy[49]" in result.stdout
    more = "1,002 more; add `> FILE.tsv` or `--json` to the command to get all\n"
    assert result.stderr == more


def test_a_pipe_gets_a_line_for_each_image_in_the_order_of_the_files(tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "a\tb.png")
    np.save(tmp_path / "digits.NPY", np.zeros((60, 28, 28), np.uint8))
    (tmp_path / "digits.NPY.npy").rename(tmp_path / "digits.NPY")
    service = FakeService()
    with serving(service) as url:
        files = ("digits.NPY", "a\tb.png", "digits.NPY")
        result = run("predict", *files, "--url", url, "--top-k", 2, "--model", "ref_7")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 121
    assert lines[0] == "digits.NPY[0]\t7\t90.0%\t1 10.0%\t"
    assert lines[60].startswith('"a\tb.png"\t7')
    assert lines[120].startswith("digits.NPY[59]\t")
    assert len(service.requests) == 3


def test_json_has_the_whole_prediction_of_each_image_on_a_line(tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    np.save(tmp_path / "digits.npy", np.zeros((2, 28, 28), np.uint8))
    with serving(FakeService()) as url:
        result = run("predict", "a.png", "digits.npy", "--json", "--url", url)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["image"] for line in lines] == ["a.png", "digits.npy[0]", "digits.npy[1]"]
    assert (lines[0]["label"], lines[0]["input"]["inverted"]) == (7, True)


def test_an_unreadable_image_among_several_is_a_remark_and_exit_code_1(tmp_path: Path) -> None:
    class OneIsBlank(FakeService):
        def __init__(self) -> None:
            super().__init__()
            self.routes.insert(0, (r"POST /v1/models/(\w+)/predict", self.predict_one))

        def predict_one(self, request: httpx2.Request, ref: str) -> httpx2.Response:
            answer = self.predict_each({"inputs": [0, 1], "return_pixels": False}, ref).json()
            answer["predictions"][1] = {"problem": problem(422, "The image\nis blank.").json()}
            return httpx2.Response(200, json=answer)

    for name in ("a.png", "b.png"):
        Image.new("L", (28, 28)).save(tmp_path / name)
    with serving(OneIsBlank()) as url:
        result = run("predict", "a.png", "b.png", "--url", url)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "b.png\t-\t-\t\tThe image is blank."


def test_a_photo_is_made_smaller_before_it_is_sent(tmp_path: Path) -> None:
    Image.effect_noise((3000, 2000), 50).save(tmp_path / "photo.jpg")
    service = FakeService()
    with serving(service) as url:
        assert run("predict", "photo.jpg", "--url", url).exit_code == 0
    [item] = json.loads(service.requests[0].content)["inputs"]
    assert Image.open(io.BytesIO(base64.b64decode(item["base64"]))).size == (1000, 667)


@pytest.mark.parametrize("count", [0, 11])
def test_a_number_of_candidates_that_is_out_of_range_is_a_wrong_option(count: int) -> None:
    Image.new("L", (28, 28)).save("a.png")
    result = run("predict", "a.png", "--top-k", count)
    assert result.exit_code == 2
    assert "--top-k" in result.stderr


def test_a_missing_file_is_refused() -> None:
    result = run("predict", "absent.png")
    assert result.exit_code == 2
    assert "absent.png" in result.stderr
