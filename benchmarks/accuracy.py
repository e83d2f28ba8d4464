"""The test accuracy of a job of the preset mlp-augmented over time."""

import os
import tempfile
import time
from itertools import accumulate
from pathlib import Path

from benchmarks import networks
from benchmarks.report import ROOT, Figure, figure
from mlp_client.job_spec import Spec
from mlp_client.job_state import FINAL
from tests.support.server_process import Server

PICTURE = ROOT / "docs" / "augmented.png"
GOAL = 99.3


def measure() -> list[Figure]:
    spec = Spec(preset="mlp-augmented")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", Path(folder) / "datasets")
        server.prefix = ["taskset", "-c", str(max(os.sched_getaffinity(0)))]
        server.start()
        try:
            job = server.submit(preset=spec.preset, name=spec.preset)
            while (state := server.job(job)["state"]) not in FINAL:
                time.sleep(2)  # polling more often would take time from the core
            assert state == "succeeded"
            epochs = server.http.get(f"/v1/jobs/{job}/epochs").json()["data"]
            PICTURE.write_bytes(server.http.get(f"/v1/jobs/{job}/curves.png").content)
            weights = server.http.get(f"/v1/models/{job}/weights.safetensors").content
        finally:
            server.stop()
    networks.keep(spec, weights)
    return figures_of(epochs)


def figures_of(epochs: list[dict]) -> list[Figure]:
    minutes = [seconds / 60 for seconds in accumulate(epoch["seconds"] for epoch in epochs)]
    percent = [100 * epoch["test_accuracy"] for epoch in epochs]
    last = epochs[-1]
    there = next((at for at, share in zip(minutes, percent, strict=True) if share >= GOAL), None)
    on_the_way = "; ".join(
        f"{share:.2f} % after {at:.0f} min"
        for at, share in list(zip(minutes, percent, strict=True))[9:-1:10]
    )
    return [
        figure("test accuracy", percent[-1], "%", at_least=GOAL, note=on_the_way),
        figure(
            f"minutes of {len(epochs)} epochs on one core",
            minutes[-1],
            "min",
            at_most=15,
            note=f"first {GOAL} % after {there:.1f} min" if there else "",
        ),
        figure("training accuracy, undeformed", 100 * last["train_accuracy"], "%"),
    ]
