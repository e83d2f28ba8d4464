"""The files of uploads as they were sent, in a folder for each data set until it is checked."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from service.store.durable_files import make_directory

if TYPE_CHECKING:
    from service.store.files.shared_folders import SharedFolders

KIND = "uploads"
"""The kind of these folders, where all hosts share them."""


class Uploads:
    """Folders by the ids of data sets; the files in them are numbered in the order of sending."""

    def __init__(self, directory: Path, shared: "SharedFolders | None" = None) -> None:
        """Create it.

        Args:
            directory: of the folders on this host.
            shared: where other hosts find what was sent to this one; None if there are none.

        """
        self.directory = directory.absolute()
        self._shared = shared

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

    def share(self, id_: str) -> None:
        """Let other hosts find what was sent here, before a row says that it is complete.

        Raises:
            StoreBroken: it can't be written.

        """
        if self._shared:
            self._shared.share(id_, self.directory / id_)

    def share_file(self, id_: str, index: int) -> None:
        """Let other hosts find one file of a data set that is being collected.

        Raises:
            StoreBroken: it can't be written.

        """
        if self._shared:
            self._shared.share_file(id_, self.file(id_, index))

    def fetched(self, id_: str, index: int) -> Path:
        """Return where a file is, after it has been brought here from where all hosts find it.

        Raises:
            StoreBroken: it can't be read or written.

        """
        path = self.file(id_, index)
        if self._shared:
            self._shared.fetch_file(id_, path)
        return path

    def fetch(self, id_: str) -> None:
        """Bring what was sent to another host here.

        Raises:
            StoreBroken: it can't be read or written.

        """
        if self._shared:
            self._shared.fetch(id_, self.directory / id_)

    def delete(self, id_: str) -> bool:
        """Delete what was sent; return whether all of it is gone.

        Raises:
            StoreBroken: what other hosts find can't be deleted.

        """
        if self._shared:
            self._shared.delete(id_)
        folder = self.directory / id_
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
