"""A service of one machine moves to several, and back, while jobs are under way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import QUICK
from tests.support.cluster import Cluster
from tests.support.server_process import Server

LONG = {"preset": "mlp-relu", "epochs": 5, "seed": 3}
PIXELS = {"pixels": [[0] * 28] * 10 + [[0] * 8 + [255] * 12 + [0] * 8] * 8 + [[0] * 28] * 10}


def move(cluster: Cluster, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service", "move", *options]
    return subprocess.Popen(
        command,
        env=os.environ | cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert output.startswith("Moved ")


def answers(http: httpx2.Client, job: str, key: str) -> dict[str, Any]:
    """Return what a client gets that must be the same wherever the service is."""
    http.headers["Authorization"] = f"Bearer {key}"
    paths = (f"/v1/jobs/{job}", f"/v1/jobs/{job}/epochs")
    found = [http.get(path) for path in paths]
    prediction = http.post(f"/v1/models/{job}/predict", json=PIXELS)
    stream = http.get(f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"})
    weights = http.get(f"/v1/models/{job}/weights.safetensors")
    assert {it.status_code for it in (*found, prediction, weights)} == {200}
    return {
        "json": [it.text.replace(str(http.base_url).rstrip("/"), "") for it in found],
        "prediction": prediction.json(),
        "events": stream.text,
        "weights": (weights.headers.get("ETag"), weights.content),
        "instance": http.get("/v1/system").json()["instance"],
    }


def test_clients_see_the_same_service_on_one_machine_and_on_several(
    cluster: Cluster, datasets_dir: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "alone"
    made = subprocess.run(
        [sys.executable, "-m", "service", "keys", "create", "--owner", "ada"],
        env=os.environ | {"MLP_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    key = made.stdout.strip()
    alone = Server(data_dir, datasets_dir, MLP_CONCURRENT_JOBS="1").start()
    alone.http.headers["Authorization"] = f"Bearer {key}"
    done = alone.submit(**QUICK)
    alone.wait(done, "succeeded")
    running = alone.submit(**LONG)
    alone.wait_for_progress(running, 0.2)
    before = answers(alone.http, done, key)
    alone.kill()  # its worker trains on, until the move asks it to save

    killed = move(cluster, "--from", str(data_dir))
    time.sleep(0.8)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finish(move(cluster, "--from", str(data_dir)))
    assert alone.workers() == []
    alone.stop()
    server = cluster.server("api")
    assert answers(server.http, done, key) == before
    cluster.host("one")
    there = cluster.wait(running)
    assert (there["bit_exact"], there["lost_workers"]) == (True, 0)
    cluster.hosts["one"].terminate()
    after = answers(server.http, running, key)
    server.terminate()

    finish(move(cluster, "--to", str(tmp_path / "back")))
    back = Server(tmp_path / "back", datasets_dir, MLP_CONCURRENT_JOBS="1").start()
    try:
        assert answers(back.http, done, key) == before
        assert answers(back.http, running, key) == after
        twin = back.submit(**LONG)
        assert back.wait(twin, "succeeded")["weights_sha256"] == there["weights_sha256"]
    finally:
        back.stop()


def test_a_backup_of_several_machines_runs_on_one(
    cluster: Cluster, datasets_dir: Path, tmp_path: Path
) -> None:
    server = cluster.server("api")
    cluster.host("one")
    done = cluster.submit(**QUICK)
    cluster.wait(done)
    copy = subprocess.run(
        [sys.executable, "-m", "service", "backup", str(tmp_path / "copy")],
        env=os.environ | cluster.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert copy.stdout.startswith("Copied the shared database to ")
    weights = server.http.get(f"/v1/models/{done}/weights.safetensors").content
    laptop = Server(tmp_path / "copy", datasets_dir).start()
    try:
        assert laptop.job(done)["state"] == "succeeded"
        assert laptop.http.get(f"/v1/models/{done}/weights.safetensors").content == weights
        more = laptop.submit(**QUICK)
        assert laptop.wait(more, "succeeded")["id"] != done
    finally:
        laptop.stop()
