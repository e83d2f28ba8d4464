"""The unpacked files of the data set that the package ships."""

from pathlib import Path

from service.store.shipped_mnist import MANIFEST


def shipped_file(datasets_dir: Path, name: str) -> Path:
    """Return where an array of MNIST lies, such as `test.images`; other sets may lie beside it."""
    return datasets_dir / f"sha256-{MANIFEST.sha256}" / f"{name}.npy"
