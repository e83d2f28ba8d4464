"""Measure everything: `python -m benchmarks [PART …]`. Each part is a module with `measure()`."""

import importlib
import os
import sys
import time

from benchmarks.report import keep

PARTS = (
    "training",
    "serving",
    "reading",
    "page",
    "jobs",
    "pictures",
    "memory",
    "accuracy",
    "drawn",
    "ink",
    "resolution",
    "dataset_checks",
    "evaluations",
    "cluster",
)
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    os.environ.update(ONE_THREAD)  # for all processes; parts that need more set it themselves
    for part in sys.argv[1:] or PARTS:
        print(part, flush=True)
        started = time.monotonic()
        figures = importlib.import_module(f"benchmarks.{part}").measure()
        keep(part, figures, time.monotonic() - started)


if __name__ == "__main__":
    main()
