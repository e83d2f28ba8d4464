"""The headers that name the network behind an answer: its job, epochs, checkpoint and classes."""

import json
from functools import lru_cache

from fastapi import Response

from service.store.checkpoints import CheckpointRef

KEPT = 256
LONGEST_CLASSES = 2000
"""Proxies refuse answers with long headers."""


def name_network(answer: Response, checkpoint: CheckpointRef) -> None:
    """Add the headers; together they tell any two networks apart, also of one job."""
    answer.raw_headers.extend(_encoded(checkpoint.job, checkpoint.epochs_done, checkpoint.sha256))


@lru_cache(KEPT)  # encoding them would be the slowest part of a short answer's headers
def _encoded(job: str, epochs_done: int, sha256: str) -> tuple[tuple[bytes, bytes], ...]:
    named = {"model": job, "epochs-done": str(epochs_done), "checkpoint-sha256": sha256}
    return tuple((name.encode(), value.encode()) for name, value in named.items())


def name_classes(answer: Response, classes: tuple[str, ...]) -> None:
    """Add the names of the classes, unless they are too long together for a header."""
    if names := _encoded_classes(classes):
        answer.raw_headers.append((b"classes", names))


@lru_cache(KEPT)
def _encoded_classes(classes: tuple[str, ...]) -> bytes:
    """Return the names as a JSON list in ASCII; nothing if it is too long."""
    names = json.dumps(classes, separators=(",", ":")).encode("ascii")
    return names if len(names) <= LONGEST_CLASSES else b""
