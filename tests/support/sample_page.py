"""Serves the page with sample jobs, for whoever works on it: `make page`.

Their directory is kept, so the next start finds them trained. Changed files of `service/web` are
there at the next reload.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlp_client import Client
from mlp_client.job_state import FINAL
from service.cli.demo_server import DemoServer, sigterm_as_exit
from tests.support.documents import ROOT

DATA = ROOT / "data-page"
SMALL: dict[str, Any] = {"hidden": [32], "epochs": 8, "seed": 1}
SAMPLES: Sequence[dict[str, Any]] = (
    {"name": "small relu", **SMALL},
    {"name": "small sigmoid", **SMALL, "activation": "sigmoid", "tags": ["week 3"]},
    {"name": "small relu, another seed", **SMALL, "seed": 2},
    {"name": "linear", "preset": "linear", "epochs": 5},
    {"name": "two layers", "hidden": [64, 32], "epochs": 12},
    {"name": "learns nothing", **SMALL, "learning_rate": 500.0},
    {"name": "too fast", "hidden": [16, 16], "epochs": 3, "learning_rate": 1000.0},
    {"name": "Дневник 数字 <b>&amp;", "hidden": [16], "epochs": 3},
)
"""The last but one diverges, and the last one's name needs care."""
LONG: dict[str, Any] = {"name": "long run", "hidden": [128], "epochs": 1000}
"""Trains for minutes, so that something on the page moves."""


def add_samples(client: Client) -> None:
    """Submit the samples that are missing, and one long job if nothing trains."""
    jobs = list(client.jobs.list())
    found = {job.spec.name for job in jobs}
    for sample in SAMPLES:
        if sample["name"] not in found:
            client.jobs.create(**sample)
    if all(job.state in FINAL for job in jobs):
        client.jobs.create(**LONG)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the page with sample jobs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    given = parser.parse_args()
    os.environ["MLP_PAGE_RELOAD"] = "1"
    url = f"http://{given.host}:{given.port}"
    server = DemoServer(given.host, given.port, given.data_dir, url)
    with sigterm_as_exit(), server.running() as process, Client(url) as client:
        add_samples(client)
        sys.stdout.write(f"The page: {url}/ (data: {given.data_dir}); Ctrl-C stops it.\n")
        sys.stdout.flush()
        process.wait()


if __name__ == "__main__":
    main()
