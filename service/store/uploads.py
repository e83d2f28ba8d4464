"""The files of uploads as they were sent, in a folder for each data set until it is checked."""

import shutil
from pathlib import Path

from service.store.durable_files import make_directory


class Uploads:
    """Folders by the ids of data sets; the files in them are numbered in the order of sending."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def create(self, id_: str) -> Path:
        """Create the folder of a data set durably, and return it.

        Raises:
            StoreBroken: it can't be written.

        """
        folder = self.directory / id_
        make_directory(folder)
        return folder

    def file(self, id_: str, index: int) -> Path:
        """Return where a file of an upload is, or is to be written; names of clients are no paths.

        Args:
            id_: the data set.
            index: the place of the file among those that are sent together, from 0.

        """
        return self.directory / id_ / str(index)

    def delete(self, id_: str) -> bool:
        """Delete what was sent; return whether all of it is gone."""
        folder = self.directory / id_
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
