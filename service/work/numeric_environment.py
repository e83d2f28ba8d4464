"""The environment that, with the spec, decides a run's bits: arithmetic, NumPy and BLAS."""

import functools
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from mlp_core import ARITHMETIC


@functools.cache
def numeric_environment() -> dict[str, Any]:
    """Return the versions and BLAS kernels that this process computes with.

    Two runs of one spec in equal environments produce the same bits.
    """
    blas = [
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
    return {"arithmetic": ARITHMETIC, "numpy": np.__version__, "blas": sorted(blas)}
