"""Checkers and servers killed while data sets are sent and checked, and trained on."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import small_uploads
from tests.support.campaign import Campaign
from tests.support.server_process import Server, eventually

SETS = "/v1/datasets"
SENT = small_uploads.npz(seed=5, train=6000, test=600)
MOST_SECONDS = 90


@pytest.fixture
def sets_server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A server with data sets of its own."""
    sets = small_uploads.with_shipped(tmp_path / "sets", datasets_dir)
    limits = {"MLP_MAX_OWNER_DATASETS": "1000", "MLP_CONCURRENT_JOBS": "1"}
    server = Server(tmp_path / "data", sets, **limits).start()
    yield server
    server.stop()


def test_killed_checkers_and_servers_leave_each_set_ready_or_failed(
    sets_server: Server, campaign: Campaign
) -> None:
    kills, moment = campaign.of(6, 300), random.Random(17)
    send(sets_server, "undisturbed")
    digest = final(sets_server, "undisturbed")["sha256"]
    assert digest
    outcomes = [_disturbed(sets_server, f"set-{kill}", moment) for kill in range(kills)]
    wrong = [found for found in outcomes if _is_wrong(found, digest)]
    states = sorted({found["state"] for found in outcomes})
    ready = sum(found["state"] == "ready" for found in outcomes)
    campaign.figure(
        "kills of checkers and servers during uploads and checks",
        target=str(kills),
        measured=f"{kills}, with {ready} sets ready and {kills - ready} failed",
        met=True,
    )
    campaign.figure(
        "sets that are neither ready with the same digest nor failed with their reason",
        target="0",
        measured=len(wrong),
        met=not wrong,
    )
    assert wrong == []
    assert set(states) <= {"ready", "failed"}
    left = _left_behind(sets_server, digest)
    campaign.figure("files left behind", target="0", measured=len(left), met=not left)
    assert left == []


def _disturbed(server: Server, name: str, moment: random.Random) -> dict[str, Any]:
    """Send a data set while something is killed; return what becomes of it."""
    victim: Callable[[Server], None] = moment.choice((kill_checker, kill_server))
    sent = moment.random() < 0.75
    if sent:
        send(server, name)
        time.sleep(moment.random() * 1.5)
    else:  # the kill comes while the file is being sent
        with suppress(httpx2.TransportError):
            server.http.put(f"{SETS}/{name}", content=_until_killed(server, victim), timeout=20)
    victim(server)
    if name not in {each["name"] for each in server.http.get(SETS).json()["data"]}:
        send(server, name)  # an upload that was cut leaves nothing, and can be repeated
    return final(server, name)


def _until_killed(server: Server, victim: Callable[[Server], None]) -> Iterator[bytes]:
    half = len(SENT) // 2
    yield SENT[:half]
    eventually(lambda: server.http.get("/livez").is_success, "the server to take the first half")
    victim(server)
    yield SENT[half:]


def _is_wrong(found: dict[str, Any], digest: str) -> bool:
    if found["state"] == "ready":
        return bool(found["sha256"] != digest)
    return bool(found["state"] != "failed" or found["reason"]["code"] != "upload_interrupted")


def send(server: Server, name: str, content: bytes = SENT) -> None:
    """Send a data set until the server has acknowledged it."""

    def try_once() -> bool:
        try:
            answer = server.http.put(f"{SETS}/{name}", content=content)
        except httpx2.TransportError:
            return False
        assert answer.status_code in (200, 201, 409, 503), answer.text
        return answer.is_success

    eventually(try_once, f"{name} to be sent")


def final(server: Server, name: str) -> dict[str, Any]:
    """Return a data set as soon as it is ready or has failed."""

    def look() -> dict[str, Any] | None:
        found = server.http.get(f"{SETS}/{name}", params={"wait": 5}).json()
        return found if found["state"] in ("ready", "failed") else None

    return eventually(look, f"{name} to be checked", MOST_SECONDS) or {}


def checkers(server: Server) -> list[int]:
    """Return the pids of the checkers of this server's data directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, UnicodeDecodeError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().decode()
            if b"service.work.checker" in words and f"={server.data_dir}/uploads" in environment:
                found.append(int(folder.name))
    return found


def kill_checker(server: Server) -> None:
    for pid in checkers(server):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def has_begun(server: Server, name: str) -> bool:
    """Return whether the checker of a data set has given a heartbeat."""
    begun = "SELECT heartbeat > 0 FROM datasets WHERE name = ? AND state = 'checking'"
    with closing(sqlite3.connect(server.data_dir / "jobs.sqlite3", timeout=30)) as connection:
        return bool(connection.execute(begun, [name]).fetchone() == (1,))


def kill_server(server: Server) -> None:
    server.kill()
    server.start()


def _left_behind(server: Server, digest: str) -> list[str]:
    """Return what is on the disk beside the content of the data sets that are there."""
    sets = Path(server.environment["MLP_DATASETS_DIR"])
    known = {f"sha256-{digest}", ".staging"} | {
        path.name for path in sets.glob("sha256-*") if path.is_symlink()
    }

    def look() -> bool:
        return not list((server.data_dir / "uploads").glob("*"))

    with suppress(AssertionError):
        eventually(look, "uploads to be swept")
    found = [*(server.data_dir / "uploads").rglob("*"), *sets.glob(".staging/*")]
    found += [path for path in sets.iterdir() if path.name not in known]
    return sorted(str(path) for path in found)


def test_five_killed_checkers_in_a_row_fail_a_set(sets_server: Server) -> None:
    send(sets_server, "unlucky", small_uploads.npz(train=20_000))

    def killed_again() -> bool:
        if has_begun(sets_server, "unlucky"):  # before, the machine would be to blame
            kill_checker(sets_server)
        found = sets_server.http.get(f"{SETS}/unlucky").json()
        return bool(found["state"] == "failed")

    eventually(killed_again, "the fifth checker to be lost", MOST_SECONDS)
    reason = sets_server.http.get(f"{SETS}/unlucky").json()["reason"]
    assert reason["code"] == "checker_lost"
    assert "SIGKILL" in reason["message"]


def test_a_stopped_server_starts_the_check_again(sets_server: Server) -> None:
    send(sets_server, "stopped")
    eventually(lambda: checkers(sets_server), "the checker to start")
    code, seconds = sets_server.terminate()
    assert (code, checkers(sets_server)) == (0, [])
    assert seconds < 15
    sets_server.start()
    found = final(sets_server, "stopped")
    assert found["state"] == "ready", found["reason"]


def test_a_key_is_answered_by_the_server_after_a_kill(sets_server: Server) -> None:
    key, named = {"Idempotency-Key": "once"}, {"name": "once"}
    files = [("file", ("shapes.npz", small_uploads.npz(seed=6)))]
    first = sets_server.http.post(SETS, headers=key, data=named, files=files)
    assert first.status_code == 201, first.text
    kill_server(sets_server)
    again = sets_server.http.post(SETS, headers=key, data=named, files=files)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert final(sets_server, "once")["id"] == first.json()["id"]


def test_a_job_trains_to_its_end_on_a_set_that_is_deleted_meanwhile(sets_server: Server) -> None:
    send(sets_server, "brief")
    found = final(sets_server, "brief")
    spec = {"dataset": "brief", "hidden": [32], "epochs": 400, "batch_size": 64}
    job = sets_server.submit(**spec)
    sets_server.wait_for_progress(job, 0.01)
    refused = sets_server.http.delete(f"{SETS}/brief")
    assert refused.status_code == 409, refused.text
    assert job in refused.json()["detail"]
    assert sets_server.http.delete(f"{SETS}/brief?force=true").status_code == 204
    assert sets_server.http.get(f"{SETS}/brief").status_code == 404
    os.kill(sets_server.worker(job) or 0, signal.SIGKILL)  # the next worker opens the files again
    done = sets_server.wait(job, "succeeded", seconds=120)
    assert done["metrics"]["best"]["test_accuracy"] > 0.9
    folder = Path(sets_server.environment["MLP_DATASETS_DIR"]) / f"sha256-{found['sha256']}"
    eventually(lambda: not folder.exists(), "the files to be deleted after the job")
    pixels = small_uploads.pictures(seed=99, rows=1)[0][0].tolist()
    answer = sets_server.http.post(f"/v1/models/{job}/predict", json={"pixels": pixels})
    assert answer.status_code == 200, answer.text
