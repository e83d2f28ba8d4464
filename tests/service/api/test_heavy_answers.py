"""Heavy answers are computed a few at a time, and light answers do not wait for them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from mlp_client.job_state import State
from service.domain.errors import NotTrainedYet
from service.inference.model_cache import ModelCache
from service.pictures import contact_sheet, curves
from service.store.jobs import JobStore
from tests.service.api.test_jobs import submit
from tests.support.live_service import Live
from tests.support.server_process import eventually

UNTRAINED = NotTrainedYet("x", State.QUEUED, ended=False)


class Blocked:
    """Replaces a slow function: it waits until it is released, and counts its calls."""

    def __init__(self, result: Any) -> None:
        self.go, self.result = threading.Event(), result
        self.calls: list[int] = []

    @property
    def begun(self) -> int:
        return len(self.calls)

    def __call__(self, *_: object, **__: object) -> Any:
        self.calls.append(1)  # several threads do; a number would lose some
        assert self.go.wait(20)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@contextmanager
def asked(live: Live, path: str, times: int, maker: Blocked, concurrent: int = 1) -> Iterator[None]:
    """Send `times` requests concurrently in the background; wait for all answers at the end."""

    def ask() -> None:
        with httpx2.Client(base_url=live.http.base_url, timeout=20) as client:
            client.get(path)

    threads = [threading.Thread(target=ask) for _ in range(times)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: maker.begun >= concurrent, "the first to be made")
        time.sleep(0.5)  # for one too many
        yield
    finally:
        maker.go.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.parametrize(
    ("path", "place", "name", "result", "most"),
    [
        ("/v1/jobs/{job}/curves.png", curves, "draw", b"", 1),
        ("/v1/curves.svg?jobs={job}", curves, "draw", b"", 1),
        ("/v1/jobs/{job}/epochs", JobStore, "epochs", [], 2),
        ("/v1/jobs/{job}/epochs.csv", JobStore, "epochs", [], 2),
        ("/v1/models/{job}/weights.npz", ModelCache, "get", UNTRAINED, 2),
        ("/v1/models/{job}/layers/1/weights.png", ModelCache, "get", UNTRAINED, 2),
        ("/v1/datasets/mnist/samples.png", contact_sheet, "draw", b"", 2),
    ],
)  # fmt: skip
def test_heavy_answers_are_computed_a_few_at_a_time_and_light_ones_do_not_wait(
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    place: Any,
    name: str,
    result: Any,
    most: int,
) -> None:
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
        ("/v1/jobs/{job}/curves.png", curves, "draw"),
        ("/v1/datasets/mnist/samples.png", contact_sheet, "draw"),
        ("/v1/jobs/{job}/epochs.csv", JobStore, "epochs"),
    ],
)
def test_a_304_does_not_wait_for_a_thread(
    live: Live, monkeypatch: pytest.MonkeyPatch, path: str, place: Any, name: str
) -> None:
    path, maker = path.format(job=submit(live.http)), Blocked([] if name == "epochs" else b"")
    held = {"If-None-Match": live.http.get(path).headers["ETag"]}
    monkeypatch.setattr(place, name, maker)
    with asked(live, path, 3, maker):
        assert live.http.get(path, headers=held).status_code == 304


def test_nothing_is_computed_for_clients_that_have_disconnected(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, path = Blocked(b""), "/v1/datasets/mnist/samples.png"
    monkeypatch.setattr(contact_sheet, "draw", maker)
    with asked(live, path, 2, maker, 2):
        for _ in range(3):
            with pytest.raises(httpx2.TimeoutException):
                httpx2.get(f"{str(live.http.base_url).rstrip('/')}{path}", timeout=0.2)
    assert live.http.get(path).status_code == 200
    assert maker.begun == 3
