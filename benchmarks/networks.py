"""Networks of the presets, trained once by a job of the service and stored for other parts."""

import hashlib
import tempfile
from pathlib import Path

from safetensors.numpy import load

from benchmarks.report import ROOT
from mlp_client.job_spec import PresetName, Spec
from mlp_core import ARITHMETIC, Network
from tests.support.server_process import Server

PLACE = ROOT / ".networks"
MAX_SECONDS = 1800
"""The longest that a job may take."""


def trained(preset: PresetName) -> Network:
    """Return a preset's network, from its file if one is stored for exactly this recipe."""
    spec = Spec(preset=preset)
    file = _file(spec)
    if not file.exists():
        keep(spec, _weights(spec))
    return Network.from_arrays(load(file.read_bytes()), spec.activation)


def keep(spec: Spec, weights: bytes) -> None:
    """Store the answer of `GET /v1/models/{ref}/weights.safetensors` for a job of this spec."""
    PLACE.mkdir(exist_ok=True)
    _file(spec).write_bytes(weights)


def _file(spec: Spec) -> Path:
    recipe = f"{ARITHMETIC} {spec.model_dump_json()}"
    return PLACE / f"{spec.preset}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.safetensors"


def _weights(spec: Spec) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data", Path(folder) / "datasets").start()
        try:
            job = server.submit(preset=spec.preset)
            server.wait(job, "succeeded", seconds=MAX_SECONDS)
            return server.http.get(f"/v1/models/{job}/weights.safetensors").content
        finally:
            server.stop()
