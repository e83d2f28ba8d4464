"""Multi-layer perceptrons, trained by hand-written back-propagation.

This package is mathematics on NumPy and the standard library. It reads no files, writes no logs,
keeps no global state, and takes all randomness from the seed. The code that makes it fast is in
`fast`, and the code that uses a second core is in `parallel`; the textbook files need neither.
"""

from mlp_core.activations import ACTIVATIONS
from mlp_core.augmentation import IMAGES_PER_DEFORMATION, Augmentation
from mlp_core.checkpoint import Checkpoint, Cursor
from mlp_core.dataset import Dataset, Split, scaled
from mlp_core.errors import CheckpointError, CoreError, DatasetError, Diverged, ShapeError
from mlp_core.fast.block_evaluation import evaluate_rows
from mlp_core.fast.data_layout import (
    BLOCK_ROWS,
    Blocks,
    DataLayout,
    in_blocks,
    lay_out,
    similar_rows,
)
from mlp_core.fast.single_rows import predict_single_rows
from mlp_core.idx import read_idx
from mlp_core.initializers import INITIALIZATIONS
from mlp_core.metrics import Score, evaluate
from mlp_core.network import Network, predict_logits, predict_probabilities
from mlp_core.progress import Epoch, Progress
from mlp_core.recipe import Recipe
from mlp_core.schedules import SCHEDULES
from mlp_core.training import ARITHMETIC, Training, initial_network

__all__ = [
    "ACTIVATIONS",
    "ARITHMETIC",
    "BLOCK_ROWS",
    "IMAGES_PER_DEFORMATION",
    "INITIALIZATIONS",
    "SCHEDULES",
    "Augmentation",
    "Blocks",
    "Checkpoint",
    "CheckpointError",
    "CoreError",
    "Cursor",
    "DataLayout",
    "Dataset",
    "DatasetError",
    "Diverged",
    "Epoch",
    "Network",
    "Progress",
    "Recipe",
    "Score",
    "ShapeError",
    "Split",
    "Training",
    "evaluate",
    "evaluate_rows",
    "in_blocks",
    "initial_network",
    "lay_out",
    "predict_logits",
    "predict_probabilities",
    "predict_single_rows",
    "read_idx",
    "scaled",
    "similar_rows",
]
