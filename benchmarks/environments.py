"""The virtual environments of the peers, `.venv-bench/<name>`, created when they are missing."""

import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".venv-bench"
NUMPY = f"numpy=={version('numpy')}"

# The sets of packages to try in turn for each environment: PyTorch's build without CUDA is missing
# in some package indexes.
PACKAGES: dict[str, list[list[str]]] = {
    "scikit-learn": [[NUMPY, "scikit-learn==1.9.1"]],
    "pytorch": [[NUMPY, "torch==2.13.0+cpu"], [NUMPY, "torch==2.13.0"]],
    "jax": [[NUMPY, "jax[cpu]==0.10.2"]],
    "litserve": [[NUMPY, "litserve==0.2.19"]],
    "mlserver": [[NUMPY, "mlserver==1.7.1"]],
    "bentoml": [[NUMPY, "bentoml==1.4.39"]],
}


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment, which is created if it is missing."""
    place = PLACE / name
    complete = place / "complete"
    if not complete.exists():
        venv.create(place, with_pip=True, clear=True)
        for packages in PACKAGES[name]:
            print("installing", *packages, "for", name, flush=True)
            command = [place / "bin" / "pip", "install", "--quiet", *packages]
            if subprocess.run(command, check=False).returncode == 0:
                break
        else:
            raise SystemExit(f"{name} can't be installed: see above")
        complete.touch()
    return place / "bin" / "python"
