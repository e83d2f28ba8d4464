"""Loss and accuracy of a network on a whole split, in blocks of rows."""

from collections.abc import Iterator

from mlp_core.dataset import Split, scale
from mlp_core.errors import ShapeError
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, forward
from mlp_core.workspace import Workspace

BLOCK_ROWS = 512  # measured: with 784 inputs, larger blocks fall out of the cache


class Evaluation:
    """An iterator over the blocks of a split; when it ends, `loss` and `accuracy` are known."""

    def __init__(self, network: Network, split: Split, workspace: Workspace) -> None:
        self._network = network
        self._split = split
        self._workspace = workspace
        self._loss_sum = 0.0  # float64: a sum over a set is long
        self._correct = 0

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self._loss_sum / len(self._split)

    @property
    def accuracy(self) -> float:
        """Share of the rows whose largest logit is that of their label, in [0, 1]."""
        return self._correct / len(self._split)

    def __iter__(self) -> Iterator[None]:
        size = len(self._workspace)
        for start in range(0, len(self._split), size):
            self._count(slice(start, start + size))
            yield

    def _count(self, rows: slice) -> None:
        images, labels = self._split.images[rows], self._split.labels[rows]
        work = self._workspace.head(len(labels))
        logits = work.outputs[-1]
        scale(images, work.X)
        forward(self._network, work.X, work.outputs)
        cross_entropy(logits, labels, work.losses, work.d_outputs[-1])
        self._loss_sum += float(work.losses.sum(dtype="float64"))
        self._correct += int((logits.argmax(axis=1) == labels).sum())


def evaluate(network: Network, split: Split) -> tuple[float, float]:
    """Mean loss in nats and accuracy in [0, 1] of a network on a split.

    Raises:
        ShapeError: the images have other columns than the network has inputs.

    """
    n_in = network.sizes[0]
    if split.images.shape[1] != n_in:
        raise ShapeError("images", f"(n, {n_in})", split.images.shape)
    evaluation = Evaluation(network, split, Workspace.allocate(network.sizes, BLOCK_ROWS))
    for _ in evaluation:
        pass
    return evaluation.loss, evaluation.accuracy
