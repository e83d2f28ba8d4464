"""The command `mlp-service predict`."""

import base64
import io
import json
from datetime import timedelta
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import run, usage_error
from tests.support.fake_service import NOW, FakeService, make_job, problem, serving


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
    [item] = json.loads(service.requests[-1].content)["inputs"]
    assert Image.open(io.BytesIO(base64.b64decode(item["base64"]))).size == (1000, 667)


@pytest.mark.parametrize("count", [0, 257])
def test_a_number_of_candidates_that_is_out_of_range_is_a_wrong_option(count: int) -> None:
    Image.new("L", (28, 28)).save("a.png")
    result = run("predict", "a.png", "--top-k", count)
    assert result.exit_code == 2
    assert "--top-k" in result.stderr


def test_a_folder_is_refused_with_the_names_of_its_pictures() -> None:
    for path in ("my letters/A/1.png", "my letters/B/1.png", "flat/.hidden", "flat/7.jpg"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    Path("empty").mkdir()
    for folder, pattern in (
        ("my letters", "'my letters'/*/*.png"),
        ("flat", "flat/*.jpg"),
        ("empty", "empty/*.png"),
    ):
        message = usage_error(run("predict", folder))
        assert f"{folder} is a folder. Name the pictures in it" in message
        assert f": mlp-service predict {pattern} ╰" in message


def ended(service: FakeService, number: int, dataset: str, *, learned: bool) -> str:
    """Add a job that has succeeded; those with higher numbers ended later."""
    job = make_job(f"job_{number}", "succeeded", 3, dataset=dataset)
    at = NOW + timedelta(seconds=number)
    return service.add(job.model_copy(update={"learned": learned, "finished_at": at})).id


def predicted(service: FakeService, *options: str) -> str:
    """Predict a picture; return what was written to standard error."""
    Image.new("L", (28, 28)).save("a.png")
    with serving(service) as url:
        result = run("predict", "a.png", "--url", url, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("a.png\t7\t")
    return result.stderr


def test_the_job_that_latest_means_is_named_and_asked() -> None:
    service = FakeService()
    ended(service, 2, "mnist", learned=True)
    ended(service, 1, "letters", learned=False)
    assert predicted(service) == "job_2 answers, which was trained on mnist.\n"
    assert service.requests[-1].url.path == "/v1/models/job_2/predict"


def test_newer_jobs_that_latest_passes_over_are_named_with_the_reason() -> None:
    service = FakeService()
    ended(service, 1, "mnist", learned=True)
    ended(service, 2, "letters", learned=False)
    said = (
        "job_1 answers, which was trained on mnist. The newer {newest}, trained on letters, was "
        "passed over because it learned nothing{others}; `--model {newest}` asks it.\n"
    )
    assert predicted(service) == said.format(newest="job_2", others="")
    ended(service, 3, "letters", learned=False)
    assert predicted(service) == said.format(newest="job_3", others=" (so was 1 other job)")
    with serving(service) as url:
        run("predict", "a.png", "--model", "latest@best", "--url", url)
    assert service.requests[-1].url.path == "/v1/models/job_1@best/predict"
    assert predicted(service, "--model", "job_3") == ""


def test_a_key_that_may_only_predict_leaves_latest_to_the_server() -> None:
    service = FakeService()
    ended(service, 1, "mnist", learned=True)
    service.faults.append(problem(403, "The key lacks the scope 'read'.", code="forbidden"))
    assert predicted(service) == ""
    assert service.requests[-1].url.path == "/v1/models/latest/predict"


def test_a_missing_file_is_refused() -> None:
    result = run("predict", "absent.png")
    assert result.exit_code == 2
    assert "absent.png" in result.stderr


def test_classes_are_named(tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "boot.png")
    service = FakeService()
    named = {"label": 9, "name": "Ankle boot", "probability": 0.8}
    other = {"label": 7, "name": "Snea\tker", "probability": 0.2}
    prediction = {**named, "top_k": [named, other], "warnings": ["unsure"]}
    answer = {"model": "ref_1", "epochs_done": 1, "checkpoint_sha256": ""}
    service.faults.append(httpx2.Response(200, json={**answer, "predictions": [prediction]}))
    with serving(service) as url:
        result = run("predict", "boot.png", "--model", "ref_1", "--url", url)
    columns = result.stdout.rstrip("\n").split("\t")
    assert columns[:3] == ["boot.png", "Ankle boot", "80.0%"]
    assert "unsure" in columns[-1]
    assert "Snea" in columns[3]
    assert len(columns) == 5
