"""The digests of weights that specs have if nothing disturbs their training.

A process of its own trains them with the trainer alone, without a service, and with one thread of
BLAS as workers do: `python -m tests.support.undisturbed DATASETS_DIR SPECS`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlp_client.job_spec import Spec
from mlp_core import Training
from service.domain.job_recipe import recipe_of
from service.store.checkpoints import weights_sha256
from service.store.dataset_files import DatasetFiles
from service.store.stored_dataset import MNIST
from service.work.launchers.local import ONE_BLAS_THREAD


def undisturbed(specs: Sequence[Mapping[str, Any]], datasets_dir: Path) -> list[str]:
    """Return the digest of the weights of each spec, all of which train on MNIST."""
    command = [sys.executable, "-m", __name__, str(datasets_dir), json.dumps(specs)]
    environment = os.environ | ONE_BLAS_THREAD
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def _digest(spec: Mapping[str, Any], files: DatasetFiles) -> str:
    fields = Spec.model_validate(spec).model_dump()
    recipe = recipe_of(fields, MNIST.manifest.classes, MNIST.manifest.image_shape)
    training = Training(recipe, files.open(MNIST.sha256))
    for _ in training:
        pass
    return weights_sha256(training.copy_network().arrays())


if __name__ == "__main__":
    files = DatasetFiles(Path(sys.argv[1]))
    print(json.dumps([_digest(spec, files) for spec in json.loads(sys.argv[2])]))  # noqa: T201
