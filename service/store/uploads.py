"""The files of uploads as they were sent, in a folder for each data set until it is checked."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from service.store.durable_files import make_directory, sync
from service.store.linked_folders import copy_folder

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

    def export(self, id_: str, folder: Path) -> bool:
        """Copy what was sent into a new folder; return whether there is anything.

        Raises:
            OSError: a file can't be read or written.
            StoreBroken: the folder can't be made, or the files of all hosts can't be read.

        """
        if self._shared:
            return self._shared.fetch(id_, folder)
        return copy_folder(self.directory / id_, folder)

    def take_over(self, staged: Path, id_: str) -> bool:
        """Take what was sent over from a folder, in place of what is here.

        Returns whether it is there now, as the folder has it; the folder may be gone then.

        Raises:
            OSError: a file can't be written.
            StoreBroken: what other hosts find can't be written.

        """
        if self._shared:
            if not self._shared.equals(id_, staged):
                self._shared.delete(id_)
                self._shared.share(id_, staged)
            return self._shared.equals(id_, staged)
        make_directory(self.directory)
        shutil.rmtree(self.directory / id_, ignore_errors=True)
        staged.rename(self.directory / id_)
        sync(self.directory)
        return True

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
