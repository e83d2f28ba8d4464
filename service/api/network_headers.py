"""The headers that name the network behind an answer: its job, its epochs and its checkpoint."""

from functools import lru_cache

from fastapi import Response

from service.store.checkpoints import CheckpointRef

KEPT = 256


def name_network(answer: Response, checkpoint: CheckpointRef) -> None:
    """Add the headers; together they tell any two networks apart, also of one job."""
    answer.raw_headers.extend(_encoded(checkpoint.job, checkpoint.epochs_done, checkpoint.sha256))


@lru_cache(KEPT)  # encoding them would be the slowest part of a short answer's headers
def _encoded(job: str, epochs_done: int, sha256: str) -> tuple[tuple[bytes, bytes], ...]:
    named = {"model": job, "epochs-done": str(epochs_done), "checkpoint-sha256": sha256}
    return tuple((name.encode(), value.encode()) for name, value in named.items())
