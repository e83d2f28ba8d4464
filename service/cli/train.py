"""What `mlp-service train` submits, and what it says of the job."""

import json
import os
import shlex
from collections.abc import Sequence
from typing import Any

from mlp_client.client import DEFAULT_URL
from mlp_client.jobs import JobHandle


def fields(options: dict[str, Any], others: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a spec: the options given, and others as FIELD=VALUE.

    Raises:
        ValueError: one can't be read, or is given twice.

    """
    found = {name: value for name, value in options.items() if value is not None}
    for text in others:
        name, value = _field(text)
        if name in found:
            raise ValueError(f"--set {text}: {name} is given twice; leave one out.")
        found[name] = value
    for name, value in found.items():
        try:
            json.dumps([name, value], allow_nan=False, ensure_ascii=False).encode()
        except ValueError:  # 1e999 is infinite, and odd bytes are no text
            raise ValueError(f"{ascii(name)[1:-1]}: its value can't be written as JSON") from None
    return {"preset": "mlp-relu"} | found


def integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise ValueError(f"--hidden: {text!r} is no list of whole numbers such as 128,64") from None


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ValueError(f"--set: {text!r} is no FIELD=VALUE such as l2=1e-4")
    try:
        return name, json.loads(value, parse_constant=str)
    except RecursionError:
        raise ValueError(f"--set {name}: the JSON is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and value.lstrip().startswith(("{", "[")):
            where = f"character {error.pos + 1}, behind {value[: error.pos][-30:]!r}"
            raise ValueError(f"--set {name}: the JSON is broken at {where}: {error.msg}") from None
        return name, value


def result(job: JobHandle, server: str) -> list[str]:
    """Return lines about a job that has succeeded."""
    lines = []
    if job.metrics.final:
        seconds = sum(epoch.seconds for epoch in job.epochs)
        accuracy, epochs = job.metrics.final.test_accuracy, job.spec.epochs
        count = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        lines.append(f"test accuracy {accuracy:.2%} after {count}, {seconds:.1f} s")
    at = "" if server == DEFAULT_URL else f"--url {shlex.quote(server)} "
    return [
        *lines,
        f"curves   {job.url}/curves.png",
        f"weights  {job.url.replace('/jobs/', '/models/')}/weights.safetensors",
        f"predict  mlp-service predict --model {job.id} {at}IMAGE...",
    ]


def ways_on(job: JobHandle) -> list[str]:
    """Return commands for a job that nobody waits for."""
    key = ' -H "Authorization: Bearer $MLP_API_KEY"' if os.environ.get("MLP_API_KEY") else ""
    url = shlex.quote(job.url)
    return [f"watch    curl -N{key} {url}/events", f"cancel   curl -X POST{key} {url}/cancel"]
