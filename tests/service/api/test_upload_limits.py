"""Uploads within limits: their size, their number, quotas and the room on the disk."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.api import intake
from service.domain.errors import TooManyUploads
from service.preparation import prepare
from service.server.stack import connection_protocol
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, connection_to, final, head, left_behind, names, put
from tests.support.live_service import Live, settings
from tests.support.server_process import eventually


@pytest.fixture
def limited(tmp_path: Path, sets_dir: Path) -> Iterator[Live]:
    """A service with room for two small data sets."""
    limits = {"max_owner_datasets": 2, "max_dataset_bytes": 60_000}
    prepare(made := settings(tmp_path / "data", sets_dir, **limits))
    with Live(made, http=connection_protocol) as live:
        yield live


def test_files_that_are_too_large_are_refused_and_leave_nothing(limited: Live) -> None:
    large = bytes(60_001)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 1000):
            yield large[start : start + 1000]

    for content in (large, chunks()):
        answer = limited.http.put(f"{SETS}/large", content=content)
        check_problem(answer, 413)
        assert "60,000 bytes" in answer.json()["detail"]
    assert names(limited) == set()
    assert left_behind(limited) == []


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(limited: Live) -> None:
    with connection_to(limited) as connection:
        connection.sendall(head("large", 60_001, "Expect: 100-continue"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]


def test_an_owner_has_only_so_many_data_sets(limited: Live) -> None:
    for seed in (1, 2):
        assert put(limited, f"set-{seed}", small_uploads.npz(seed)).status_code == 201
    answer = put(limited, "set-3", small_uploads.npz(3))
    check_problem(answer, 409)
    assert answer.json()["code"] == "dataset-quota"
    assert limited.http.delete(f"{SETS}/set-1").status_code == 204
    assert put(limited, "set-3", small_uploads.npz(3)).status_code == 201


def test_two_uploads_of_an_owner_are_received_at_once_and_a_third_waits(limited: Live) -> None:
    with connection_to(limited) as first, connection_to(limited) as second:
        for name, connection in (("first", first), ("second", second)):
            connection.sendall(head(name, 50_000) + bytes(1000))
        slots = limited.app.state.components.services.intake.slots
        eventually(lambda: names(limited) == {"first", "second"}, "both uploads to begin")
        answer = put(limited, "third", b"x")
        check_problem(answer, 429)
        assert int(answer.headers["Retry-After"]) > 0
        again = limited.http.get(f"{SETS}/first").json()
        assert again["state"] == "receiving"
    eventually(lambda: slots.taken == 0, "both uploads to be given up")
    assert names(limited) == set()


def test_the_last_place_for_an_upload_is_for_an_owner_who_has_none() -> None:
    slots = intake.UploadSlots(3)
    with slots.one("ann"), slots.one("ann"):
        with pytest.raises(TooManyUploads, match="2 uploads are"), slots.one("ann"):
            pass
        with slots.one("bob"):
            for owner in ("ann", "bob", "eve"):
                with pytest.raises(TooManyUploads, match="3 uploads are"), slots.one(owner):
                    pass
        with slots.one("eve"):
            assert slots.taken == 3
    assert slots.taken == 0
    with slots.one("ann"), slots.one("ann"):
        assert slots.taken == 2


def test_a_quota_is_told_before_anything_is_sent(limited: Live) -> None:
    for seed in (1, 2):
        put(limited, f"set-{seed}", small_uploads.npz(seed))
    with connection_to(limited) as connection:
        connection.sendall(head("set-3", 50_000, "Expect: 100-continue"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 409 "), answer[:200]
    assert b"dataset-quota" in answer


def test_a_form_that_is_too_large_is_refused_before_it_is_sent(limited: Live) -> None:
    form = head("", 60_001, "Content-Type: multipart/form-data; boundary=b", "Expect: 100-continue")
    with connection_to(limited) as connection:
        connection.sendall(form.replace(f"PUT {SETS}/".encode(), f"POST {SETS}".encode()))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]


def test_a_full_disk_is_told_before_anything_is_sent(
    limited: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MARGIN_BYTES", 2**60)
    with connection_to(limited) as connection:
        connection.sendall(head("no-room", 50_000, "Expect: 100-continue"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 507 "), answer[:200]
    assert names(limited) == set()


def test_a_form_with_a_known_key_is_answered_without_space_for_it(
    limited: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(key: str) -> httpx2.Response:
        files = [("file", ("shapes.npz", small_uploads.npz(seed=3)))]
        headers = {"Idempotency-Key": key}
        return limited.http.post(SETS, data={"name": "keyed"}, files=files, headers=headers)

    first = send("key-1")
    assert first.status_code == 201
    monkeypatch.setattr(intake, "MARGIN_BYTES", 2**60)
    again = send("key-1")
    assert (again.status_code, again.json()) == (201, first.json())
    check_problem(send("key-2"), 507)


def test_metrics_count_data_sets_by_state(limited: Live) -> None:
    def counted() -> dict[str, float]:
        lines = limited.http.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines)
            if name.startswith(("mlp_datasets", "mlp_task"))
        }

    before = counted()
    assert before['mlp_datasets{state="ready"}'] == 0
    put(limited, "counted", small_uploads.npz(seed=13))
    found = final(limited, "counted")
    assert counted()['mlp_datasets{state="ready"}'] == 1
    assert counted()["mlp_datasets_bytes"] == found["bytes"] > 150 * 12 * 12
    checks = 'mlp_task_duration_seconds_count{kind="dataset_check",outcome="succeeded"}'
    eventually(lambda: counted()[checks] > before[checks], "the end of the checker")
