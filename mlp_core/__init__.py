"""The lab: multi-layer perceptrons, trained by hand-written back-propagation.

NumPy and the standard library only. It reads no files, keeps no logs and no global state, and
takes chance from the seed alone.
"""

from mlp_core.activations import ACTIVATIONS
from mlp_core.augmentation import Augmentation
from mlp_core.checkpoint import Checkpoint, Cursor
from mlp_core.dataset import Dataset, Split, read_idx, scaled
from mlp_core.errors import CheckpointError, CoreError, DatasetError, Diverged, ShapeError
from mlp_core.fast.block_evaluation import evaluate
from mlp_core.fast.data_layout import Arrangement, arrange
from mlp_core.network import INITIALIZATIONS, Network, predict_probabilities
from mlp_core.recipe import Recipe
from mlp_core.training import ARITHMETIC, Epoch, Training

__all__ = [
    "ACTIVATIONS",
    "ARITHMETIC",
    "INITIALIZATIONS",
    "Arrangement",
    "Augmentation",
    "Checkpoint",
    "CheckpointError",
    "CoreError",
    "Cursor",
    "Dataset",
    "DatasetError",
    "Diverged",
    "Epoch",
    "Network",
    "Recipe",
    "ShapeError",
    "Split",
    "Training",
    "arrange",
    "evaluate",
    "predict_probabilities",
    "read_idx",
    "scaled",
]
