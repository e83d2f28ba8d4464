"""The network before the first step, which needs no file: the seed makes it again."""

import numpy as np

from mlp_core import ARITHMETIC, Network, initial_network
from service.domain.errors import StartUnknown
from service.domain.job_recipe import recipe_of
from service.store.stored_job import StoredJob


def check_start(job: StoredJob) -> None:
    """Check that this process draws the same random numbers as the job's first attempt.

    Raises:
        StartUnknown: another version of NumPy or of the arithmetic may have drawn them.

    """
    here = {"arithmetic": ARITHMETIC, "numpy": np.__version__}
    drawn = {name: (job.environment or here).get(name) for name in here}
    if drawn != here or not job.bit_exact:
        raise StartUnknown(job.id, drawn, here)


def start_network(job: StoredJob) -> Network:
    """Return the network with which the training of a job begins.

    Raises:
        StartUnknown: another version of NumPy or of the arithmetic may have made another one.

    """
    check_start(job)
    data = job.manifest.sizes
    return initial_network(recipe_of(job.spec), data.inputs, data.classes)
