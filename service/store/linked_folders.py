"""Copies of folders whose files never change: linked where that is possible."""

import os
import shutil
from pathlib import Path

from service.store.durable_files import make_directory, sync


def copy_folder(source: Path, folder: Path) -> bool:
    """Copy the files of a folder into a new one; return whether there is one, with files.

    Folders in it, such as data layouts, and hidden files are left out: they are made again.

    Raises:
        OSError: a file can't be read or written.
        StoreBroken: the new folder can't be made.

    """
    make_directory(folder.parent)
    try:
        paths = [path for path in source.iterdir() if path.is_file() and path.name[0] != "."]
        make_directory(folder)
        for path in paths:
            _link_or_copy(path, folder / path.name)
        sync(folder)
    except FileNotFoundError:  # it is being deleted
        paths = []
    if not paths:
        shutil.rmtree(folder, ignore_errors=True)
    return bool(paths)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
        sync(target)
