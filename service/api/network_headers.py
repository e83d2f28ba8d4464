"""The headers that name the network behind an answer: its job, its epochs and its checkpoint."""

from service.store.checkpoints import CheckpointRef


def network_headers(checkpoint: CheckpointRef) -> dict[str, str]:
    """Return the headers; together they tell any two networks apart, also of one job."""
    return {
        "Model": checkpoint.job,
        "Epochs-Done": str(checkpoint.epochs_done),
        "Checkpoint-Sha256": checkpoint.sha256,
    }
