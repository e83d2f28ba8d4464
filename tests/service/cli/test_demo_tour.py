"""The steps of `mlp-service demo`, with a fake service."""

from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from service.cli.demo_tour import draw_a_seven, shortfalls, show_page, tour
from tests.support.fake_service import FakeService, make_job


def test_the_tour_compares_draws_and_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeService()
    service.finishes_immediately = True
    with service.client() as client:
        assert tour(client, Console(width=100), tmp_path, None)
    shown = capsys.readouterr().out
    for text in ("almost 98 %", "125.8 s", "98.00 %", "25.0 s", "predicted 7", "/v1/jobs/job_2/"):
        assert text in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curves-linear.png",
        "curves-mlp-relu.png",
        "curves-mlp-sigmoid.png",
        "curves.png",
        "drawing.png",
        "samples.png",
        "weights-linear.png",
        "weights-mlp-relu.png",
    ]


def test_a_tour_with_a_failed_job_shows_the_others_and_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneFails(FakeService):
        def create_job(self, request: httpx2.Request) -> httpx2.Response:
            answer = super().create_job(request)
            self.add(make_job("job_1", "failed", message="diverged"))
            return answer

    service = OneFails()
    service.finishes_immediately = True
    with service.client() as client:
        assert not tour(client, Console(width=100), tmp_path, None)
    shown = capsys.readouterr().out
    assert "job_1 failed: diverged" in shown
    assert "97.9 %" in shown


def test_a_tour_with_a_low_accuracy_says_so_and_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Weak(FakeService):
        def get_job(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
            answer = super().get_job(request, job_id).json()
            answer["metrics"]["final"]["test_accuracy"] = 0.975
            return httpx2.Response(200, json=answer)

    service = Weak()
    service.finishes_immediately = True
    with service.client() as client:
        assert not tour(client, Console(width=100), tmp_path, None)
    low = "mlp-relu: an accuracy of 97.50% is below the required 97.6%\n"
    assert capsys.readouterr().out.endswith(low)


def test_only_jobs_with_all_epochs_can_fall_short() -> None:
    service = FakeService()
    service.finishes_immediately = True
    jobs = service.client().jobs
    linear, relu = jobs.create(epochs=50), jobs.create(epochs=1)
    for job in (linear, relu):
        assert job.metrics.final is not None
        weak = job.metrics.final.model_copy(update={"test_accuracy": 0.9})
        metrics = job.metrics.model_copy(update={"final": weak})
        job.data = job.data.model_copy(update={"metrics": metrics})
    found = shortfalls({"linear": linear, "mlp-relu": relu})
    assert found == ["linear: an accuracy of 90.00% is below the required 92.2%"]


def test_the_drawing_is_dark_on_light_and_off_centre() -> None:
    drawing = draw_a_seven()
    assert drawing.size == (500, 400)
    assert drawing.getpixel((0, 0)) == 255
    box = drawing.point(lambda grey: 255 - grey).getbbox()
    assert box is not None
    assert box[0] > 250
    assert box[3] < 300


@pytest.mark.parametrize(
    ("display", "terminal", "wanted", "opened"),
    [(":0", True, True, True), ("", True, True, False), (":0", False, True, False),
     (":0", True, False, False)],
)  # fmt: skip
def test_the_page_is_opened_only_where_somebody_can_see_it(
    monkeypatch: pytest.MonkeyPatch, display: str, terminal: bool, wanted: bool, opened: bool
) -> None:
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    show_page(Console(force_terminal=terminal), "http://127.0.0.1:8000", open_it=wanted)
    assert addresses == (["http://127.0.0.1:8000/"] if opened else [])
