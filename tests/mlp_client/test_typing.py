"""Type checkers find mistakes in an app that uses the client."""

import re
from pathlib import Path

import mypy.api
import pytest

from mlp_client.job_spec import AdamW, Augmentation, Sgd, Spec
from mlp_client.spec_fields import AdamWFields, AugmentationFields, SgdFields, SpecFields

ROOT = Path(__file__).parents[2]
GOOD = """
import asyncio
from pathlib import Path
import numpy as np
from PIL import Image
from mlp_client import AsyncClient, Client, DatasetHandle, JobHandle, Picture
from mlp_client.predictions import Prediction
from mlp_client.spec_fields import SpecFields

client = Client(timeout=5, max_retries=0)
job: JobHandle = client.jobs.create("mlp-relu", epochs=3, hidden=[64], learning_rate=0.1)
client.jobs.create(preset="linear", optimizer="adamw", tags=["a"], metadata={"a": "b"}, timeout=3)
client.jobs.create(hidden=(np.int64(5),), epochs=np.int64(5), learning_rate=np.float32(0.1))
client.jobs.create(optimizer={"type": "sgd", "momentum": 0.9}, augmentation={"rotation": 5})
fields: SpecFields = {"epochs": 3}
client.jobs.create("linear", **fields)
one: Prediction = job.predict("seven.png")
many: list[Prediction] = client.models.predict([Path("a.png"), b"", Image.new("L", (9, 9))])
picture: Picture = job.curves("svg", timeout=1)
client.models.predict(np.zeros((28, 28)), top_k=1, timeout=2, max_retries=1)
letters: DatasetHandle = client.datasets.create("letters", Path("a.zip"), split="given").wait()
client.datasets.create("x", x_train=np.zeros((9, 8, 8)), y_train=["a"] * 9, size=8, invert=True)

async def main() -> None:
    async with AsyncClient() as client:
        job = await client.jobs.create("linear", epochs=1)
        one: Prediction = await job.predict("seven.png")
        many: list[Prediction] = await client.models.predict([b"", b""])
        async for seen in client.jobs.list(state="running"):
            print(seen.state)

asyncio.run(main())
"""
BAD = [
    'client.jobs.create("mlp-reul")',
    "client.jobs.create(learing_rate=0.1)",
    'client.jobs.create(epochs="3")',
    "client.jobs.create(epochs=3.5)",
    'client.jobs.create(learning_rate="0.1")',
    "client.jobs.create(hidden=64)",
    'client.jobs.create(hidden=["64"])',
    'client.jobs.create(activation="gelu")',
    'client.jobs.create(optimizer="adam")',
    'client.jobs.create(optimizer={"type": "sgd", "beta1": 0.9})',
    'client.jobs.create(augmentation={"rotate": 3})',
    'client.jobs.create(schedule="linear")',
    "client.jobs.create(tags=[1])",
    'job.curves("jpg")',
    "client.jobs.get(7)",
    'job.predict("7.png", topk=3)',
    'client.models.predict("7.png", normalize="maybe")',
    'client.models.predict("7.png", retries=3)',
    'client.models.weights(format="onnx")',
    "client.presets(timeout='3')",
    "job.metrics.last",
    'client.datasets.create("x", "x.zip", splits="given")',
    'client.datasets.create("x", "x.zip", resize="crop")',
    'client.datasets.create("x", 7)',
    "asynchronous.jobs.create(epochs='3')",
    "asynchronous.jobs.create(epocs=3)",
]
HEAD = """from mlp_client import AsyncClient, Client
client = Client()
asynchronous = AsyncClient()
job = client.jobs.get("job_1")
"""


def checked(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what mypy says about the program of an app, without this project's settings."""
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    (folder / "app.py").write_text(program)
    options = ["--strict", "--config-file", "", "--cache-dir", str(folder / "cache")]
    said, failure, _ = mypy.api.run([*options, str(folder / "app.py")])
    assert not failure
    return said


def test_mypy_accepts_what_is_right_and_finds_every_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Success" in checked(GOOD, tmp_path, monkeypatch)
    said = checked(HEAD + "\n".join(BAD), tmp_path, monkeypatch)
    first = len(HEAD.splitlines()) + 1
    flawed = {int(line) - first for line in re.findall(r"app\.py:(\d+): error", said)}
    assert [code for index, code in enumerate(BAD) if index not in flawed] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "mlp_client" / "py.typed").exists()


@pytest.mark.parametrize(
    ("fields", "record", "apart"),
    [
        (SpecFields, Spec, {"preset"}),
        (SgdFields, Sgd, set()),
        (AdamWFields, AdamW, set()),
        (AugmentationFields, Augmentation, set()),
    ],
)
def test_the_keyword_arguments_are_the_fields_of_the_spec(
    fields: type, record: type[Spec], apart: set[str]
) -> None:
    assert set(fields.__annotations__) == set(record.model_fields) - apart


WORDS = {
    "integer": "SupportsIndex",
    "number": "SupportsFloat",
    "string": "str",
    "boolean": "bool",
    "array": "Sequence",
    "object": "Mapping|Fields",
}
"""What an annotation contains for each type of a JSON schema."""


@pytest.mark.parametrize(
    ("fields", "record"), [(SpecFields, Spec), (SgdFields, Sgd), (AugmentationFields, Augmentation)]
)
def test_the_types_of_the_keyword_arguments_are_those_of_the_spec(
    fields: type, record: type[Spec]
) -> None:
    properties = record.model_json_schema()["properties"]
    for name, annotation in fields.__annotations__.items():
        schema = properties[name]
        if "enum" in schema:
            assert set(annotation.__args__) == set(schema["enum"]), name
        elif "const" in schema:
            assert annotation.__args__ == (schema["const"],)
        elif "type" in schema:
            assert re.search(WORDS[schema["type"]], str(annotation)), name
