"""The rows of stored data sets, as evaluations read them."""

from service.inference.evaluate import Rows
from service.inference.normalized_split import normalized
from service.store.dataset_files import DatasetFiles


def stored_rows(files: DatasetFiles, sha256: str, split: str, normalize: str) -> Rows:
    """Return the rows of a split, with `auto` brought into MNIST's form first.

    Raises:
        DatasetGone: the files of the data set have been deleted.
        EvaluationTooLarge: too many must be redrawn.

    """
    stored = files.split(sha256, split)
    images = normalized(stored) if normalize == "auto" else stored
    if images is not stored or split == "validation":  # only these two have blocks in the layout
        return Rows.of_split(images)
    layout = files.data_layout(sha256)
    return Rows.of_layout(images, layout, layout.train if split == "train" else layout.test)
