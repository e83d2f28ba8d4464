"""What handles and pictures show in a shell and in a notebook, without a request."""

from pathlib import Path
from typing import Any

import pytest

from mlp_client import Picture
from mlp_client.predictions import Candidate, Prediction
from tests.support.fake_service import FakeService, make_job

KINDS = ("html", "png", "svg")
PNG, SVG = Picture(b"\x89PNG\r\n\x1a\n" + b"x" * 1234), Picture(b"<svg></svg>")


def shown_as(it: object) -> dict[str, Any]:
    """Return what IPython gets from the methods that it looks for."""
    methods = {kind: getattr(it, f"_repr_{kind}_", lambda: None) for kind in KINDS}
    found = {kind: method() for kind, method in methods.items()}
    return {kind: data for kind, data in found.items() if data is not None}


@pytest.mark.parametrize(
    ("job", "shown"),
    [
        (make_job("job_1", "queued"), "<JobHandle job_1 queued 0/3 epochs>"),
        (make_job("job_1", done=2), "<JobHandle job_1 running 2/3 epochs, test 98.0 %>"),
        (
            make_job("job_1", "failed", message="diverged"),
            "<JobHandle job_1 failed 0/3 epochs: diverged>",
        ),
    ],
)
def test_a_handle_shows_what_the_server_last_said(job: Any, shown: str) -> None:
    service = FakeService()
    service.add(job)
    handle = service.client().jobs.get("job_1")
    assert repr(handle) == shown
    assert len(service.requests) == 1


def test_a_notebook_shows_a_job_as_a_table_and_runs_none_of_its_texts() -> None:
    service = FakeService()
    service.add(make_job("job_1", done=2, name="<script>alert(1)</script>", hidden=[30, 20]))
    shown = shown_as(service.client().jobs.get("job_1"))["html"]
    assert "<script>" not in shown
    for text in ("job_1", "&lt;script&gt;", "running", "2 of 3", "98.0 %", "30, 20"):
        assert text in shown
    assert len(service.requests) == 1


def test_the_clients_and_their_parts_name_the_server() -> None:
    service = FakeService()
    for client, name in ((service.client(), "Client"), (service.async_client(), "AsyncClient")):
        assert repr(client) == f"<{name} http://fake>"
        parts = [repr(client.jobs), repr(client.models)]
        kind = name.removesuffix("Client")
        assert parts == [f"<{kind}Jobs of http://fake>", f"<{kind}Models of http://fake>"]


def test_a_picture_is_its_bytes_and_a_notebook_shows_it(tmp_path: Path) -> None:
    assert shown_as(PNG) == {"png": bytes(PNG)}
    assert shown_as(SVG) == {"svg": "<svg></svg>"}
    assert (repr(PNG), str(SVG)) == ("<Picture png, 1,242 bytes>", "<Picture svg, 11 bytes>")
    assert SVG == b"<svg></svg>"
    assert PNG.save(tmp_path / "curves.png").read_bytes() == bytes(PNG)


def test_a_notebook_shows_a_prediction_with_its_candidates() -> None:
    candidates = [Candidate(label=7, probability=0.91), Candidate(label=1, probability=0.05)]
    prediction = Prediction(label=7, probability=0.91, top_k=candidates, warnings=["<b>thin"])
    shown = shown_as(prediction)["html"]
    for text in ("7", "91.0 %", "5.0 %", "&lt;b&gt;thin"):
        assert text in shown
    assert "<b>" not in shown
