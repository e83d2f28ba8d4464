"""The files of data sets, in a folder by the digest of their content; all processes map them.

A folder `sha256-…` holds for each split the arrays `SPLIT.images.npy`, uint8 (n, n_in), and
`SPLIT.labels.npy`, uint8 (n,), `manifest.json`, and the data layouts that were made of them. Its
files never change. A folder appears whole, under its name, by being renamed; the shipped MNIST is
unpacked where it lies.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlp_core import (
    ARITHMETIC,
    BLOCK_ROWS,
    DataLayout,
    Dataset,
    Split,
    lay_out,
)
from service.domain.dataset_manifest import Manifest
from service.domain.errors import DatasetDamaged, DatasetGone, StoreBroken
from service.store import shipped_mnist
from service.store.artifacts import shared_folders
from service.store.data_layouts import NOT_WHOLE, made_layout, mapped_layout
from service.store.dataset_copies import DELETED, MOST_BYTES, DatasetCopies
from service.store.dataset_digests import forget_verified
from service.store.dataset_marks import LAYOUT, is_marked
from service.store.durable_files import (
    READ_ONLY,
    locked,
    store_error,
    sync,
    write_array,
    write_atomic,
)
from service.store.linked_folders import copy_folder
from service.store.mapped_dataset import (
    DAMAGE,
    MANIFEST_FILE,
    MappedDataset,
    map_dataset,
    read_manifest,
)
from service.store.staging_folders import building, delete_abandoned

if TYPE_CHECKING:
    from service.store.files.shared_folders import SharedFolders

logger = logging.getLogger(__name__)

SHIPPED = {shipped_mnist.MANIFEST.sha256: shipped_mnist.MANIFEST}
KIND = "datasets"
"""The kind of these folders, where all hosts share them."""
STAGING = ".staging"
"""The folder in which a checker builds a data set, before it gets its name."""
OLDER_MNIST = (
    "mnist-"
    + hashlib.sha256(
        "".join(file.sha256 for file in shipped_mnist.FILES.values()).encode()
    ).hexdigest()[:12]
)
"""The folder of MNIST in versions without uploads."""
DIGEST = re.compile("[0-9a-f]{64}")
HOLDS = 3
"""How often a copy is fetched that another process deletes at the same moment."""

Read = TypeVar("Read")
OnDamage = Callable[[str, Path, Callable[[], bool]], bool]
"""Told a digest, its folder and how to look again; returns whether data sets have the digest."""


class DatasetFiles:
    """The data sets of a directory by their digests. It needs no database."""

    def __init__(
        self,
        directory: Path,
        on_damage: OnDamage = lambda *_: False,
        shared: "SharedFolders | None" = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Create it.

        Args:
            directory: of the folders.
            on_damage: called when files of an uploaded data set are found to be damaged.
            shared: where other hosts find them; None if there are none.
            most_bytes: how much the copies of what other hosts share may take.

        """
        self.directory = directory.absolute()
        self._shared = shared
        stay = {self.folder(sha256).name for sha256 in SHIPPED}
        self._copies = DatasetCopies(self.directory, shared, stay, most_bytes) if shared else None
        self._on_damage = on_damage
        self._stages = contextlib.ExitStack()
        """Holds the locks of the folders in which this process builds data sets."""
        self._open: dict[str, MappedDataset] = {}
        self._lock = threading.Lock()
        self._fetches: dict[str, threading.Lock] = {}
        """One for each data set that was fetched, so that a process fetches it once."""

    def open(self, sha256: str) -> Dataset:
        """Return a data set, memory-mapped; the first call on a machine unpacks a shipped one.

        Raises:
            DatasetDamaged: its files are damaged.
            DatasetGone: there are no files of it.
            StoreBroken: they can't be read or written, or those of a shipped one are damaged.

        """
        return self._told(sha256, self._opened).dataset

    def manifest(self, sha256: str) -> Manifest:
        """Return the manifest with which a data set came here first.

        Raises:
            DatasetDamaged: it is damaged.
            DatasetGone: there are no files of it.
            StoreBroken: it can't be read.

        """
        if sha256 in SHIPPED:
            return SHIPPED[sha256]
        return self._told(sha256, self._manifest)

    def split(self, sha256: str, name: str) -> Split:
        """Return a split of a data set, `train`, `validation` or `test`, memory-mapped.

        Raises:
            DatasetDamaged: its files are damaged.
            DatasetGone: there are no files of it.
            KeyError: it has no such split.
            StoreBroken: they can't be read or written, or those of a shipped one are damaged.

        """
        found = self._told(sha256, self._opened)
        splits = {"train": found.dataset.train, "test": found.dataset.test}
        if found.validation is not None:
            splits["validation"] = found.validation
        return splits[name]

    def is_whole(self, sha256: str) -> bool:
        """Return whether all files of a data set are there now and have the form they must have.

        Their digest is not computed.

        Raises:
            StoreBroken: they can't be read.

        """
        self.unpacked(sha256)
        return self._is_whole_here(sha256)

    def is_stored(self, sha256: str) -> bool:
        """Return whether a data set is there, without fetching it from where all hosts find it.

        Raises:
            StoreBroken: it can't be read.

        """
        if self._shared and sha256 not in SHIPPED:
            return self._shared.holds(self.folder(sha256).name, MANIFEST_FILE)
        return self.is_whole(sha256)

    @property
    def are_copies(self) -> bool:
        """Whether all hosts share the originals of uploaded data sets."""
        return self._shared is not None

    def unpacked(self, sha256: str) -> Path:
        """Return where the files of a data set are, after a shipped one has been unpacked there.

        One that was checked on another host is fetched. Nothing is mapped. Others may have been
        deleted.

        Raises:
            StoreBroken: a shipped one can't be read or written.

        """
        folder = self.folder(sha256)
        if sha256 in SHIPPED:
            with _broken_if_it_fails(sha256):
                _unpack(folder, SHIPPED[sha256])
        elif self._shared and not folder.exists():
            self._fetch(self._shared, folder)
        return folder

    def held(self, sha256: str) -> Path:
        """Return what `unpacked` does, and keep the copy while this process lives.

        Raises:
            StoreBroken: it can't be read or written.

        """
        self._hold(sha256)
        return self.unpacked(sha256)

    def data_layout(self, sha256: str) -> DataLayout:
        """Return the layout of a data set, memory-mapped; the first call on a machine makes it.

        If it can't be written, it is made in memory: it only saves time.

        Raises:
            DatasetDamaged: the data set's files are damaged.
            DatasetGone: there are no files of it.
            StoreBroken: they can't be read or written, or those of a shipped one are damaged.

        """
        dataset = self.open(sha256)
        # Layouts of other versions give other bits, or are cut into other blocks.
        folder = self.folder(sha256) / f"{LAYOUT}{ARITHMETIC}-{BLOCK_ROWS}"
        try:
            with contextlib.suppress(*NOT_WHOLE):
                return mapped_layout(folder)
            if not folder.parent.exists():  # it has just been deleted
                return lay_out(dataset)
            with locked(folder):
                return made_layout(folder, dataset)
        except (OSError, StoreBroken) as exc:
            logger.warning(
                "the data layout of %s can't be written and is made in memory: %s", sha256, exc
            )
            return lay_out(dataset)

    def stage(self, id_: str, attempt: int) -> Path:
        """Return a new, empty folder in which an attempt can build a data set.

        Those of earlier attempts are deleted.

        Raises:
            StoreBroken: it can't be written.

        """
        for path in self.staged(id_).values():
            shutil.rmtree(path, ignore_errors=True)
        folder = self.directory / STAGING / f"{id_}-{attempt}"
        try:
            self._stages.enter_context(building(folder))
        except OSError as exc:
            raise store_error(f"write {folder.name}", exc) from exc
        return folder

    def staged(self, id_: str) -> dict[int, Path]:
        """Return the folders that attempts at a data set have left or still use, by attempt."""
        folders = (self.directory / STAGING).glob(f"{id_}-*")
        return {int(path.name.rpartition("-")[2]): path for path in folders}

    def delete_abandoned(self) -> None:
        """Delete what processes have left that were killed while they built or fetched a set."""
        delete_abandoned(self.directory / STAGING)

    def share(self, staged: Path, sha256: str) -> None:
        """Let other hosts find a finished folder, before a row names it as ready.

        Raises:
            StoreBroken: it can't be written.

        """
        if self._shared and sha256 not in SHIPPED and staged.exists():
            self._shared.share(self.folder(sha256).name, staged, MANIFEST_FILE)

    def export(self, sha256: str, folder: Path) -> bool:
        """Copy the files of an uploaded data set into a new folder; return whether there are any.

        Raises:
            OSError: a file can't be read or written.
            StoreBroken: the folder can't be made, or the files of all hosts can't be read.

        """
        if self._shared:
            return self._shared.fetch(self.folder(sha256).name, folder, MANIFEST_FILE)
        return copy_folder(self.folder(sha256), folder)

    def take_over(self, staged: Path, sha256: str) -> bool:
        """Take the files of a data set over from a folder that is whole and has its digest.

        Returns whether they are there now, as the folder has them; it may be gone then.

        Raises:
            StoreBroken: they can't be written.

        """
        seal(staged)
        if not self._shared:
            self.add(staged, sha256)
            return self.is_whole(sha256)
        name = self.folder(sha256).name
        if not self._shared.equals(name, staged):
            self._shared.delete(name)
            self._shared.share(name, staged, MANIFEST_FILE)
        return self._shared.equals(name, staged)

    def withdraw(self, sha256: str) -> None:
        """Take a data set away from all hosts, which may still have copies that nothing names.

        Raises:
            StoreBroken: it can't be deleted.

        """
        if self._shared and sha256 not in SHIPPED:
            self._shared.delete(self.folder(sha256).name)
        self.hide(sha256)

    def add(self, staged: Path, sha256: str) -> int:
        """Give a finished folder its name; return the bytes that the data set takes.

        A whole folder with the same content stays as it is, and the staged one is dropped. All
        files are to be on the disk before: see `seal`. So this takes little more than a rename.

        Raises:
            StoreBroken: it can't be renamed.

        """
        folder = self.folder(sha256)
        try:
            is_there = _sizes(folder) == _sizes(staged) and self._is_whole_here(sha256)
            if sha256 in SHIPPED or is_there:
                shutil.rmtree(staged, ignore_errors=True)
            elif staged.exists() or not folder.exists():  # else it has been renamed before
                self.hide(sha256)  # in case there is a damaged one
                staged.rename(folder)
                sync(self.directory)
            return sum(_sizes(folder).values())
        except OSError as exc:
            raise store_error(f"add the data set {sha256}", exc) from exc

    def forget(self, sha256: str) -> None:
        """Map the files of a data set anew when they are needed next."""
        with self._lock:
            self._open.pop(sha256, None)

    def hide(self, sha256: str) -> None:
        """Take a data set's folder away from under its name; `purge` deletes it.

        Processes that have mapped its files keep them. The shipped data set stays.

        Raises:
            StoreBroken: it can't be renamed.

        """
        if sha256 in SHIPPED:
            return
        self.forget(sha256)
        try:
            with contextlib.suppress(FileNotFoundError):
                hidden = self.directory / f"{DELETED}{uuid.uuid4().hex}"
                self.folder(sha256).rename(hidden)
                sync(self.directory)
        except OSError as exc:
            raise store_error(f"delete the data set {sha256}", exc) from exc

    def purge(self) -> None:
        """Delete all folders that were hidden, also those that a process left that was killed."""
        for path in self.directory.glob(f"{DELETED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def delete(self, sha256: str) -> None:
        """Delete the files of a data set.

        Raises:
            StoreBroken: its folder can't be renamed.

        """
        self.hide(sha256)
        self.purge()

    def delete_older(self) -> None:
        """Delete MNIST as older versions have unpacked it; one that still runs unpacks it again.

        Whoever has mapped the files keeps them.
        """
        shutil.rmtree(self.directory / OLDER_MNIST, ignore_errors=True)

    def folder(self, sha256: str) -> Path:
        """Return where the files of a data set are, or would be."""
        if not DIGEST.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is no SHA-256 in lower-case hexadecimal digits")
        return self.directory / f"sha256-{sha256}"

    def _fetch(self, shared: "SharedFolders", folder: Path) -> None:
        """Copy a folder from where all hosts find it; of processes that do so, one is the first."""
        staged = self.directory / STAGING / f"{folder.name}-{uuid.uuid4().hex}"
        try:
            with self._fetches.setdefault(folder.name, threading.Lock()), building(staged):
                if folder.exists() or not shared.fetch(folder.name, staged, MANIFEST_FILE):
                    return
                seal(staged)
                _rename_unless_there(staged, folder)
            sync(self.directory)
            if self._copies:
                self._copies.make_room(folder)
        except OSError as exc:
            raise store_error(f"write {folder.name}", exc) from exc
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _opened(self, sha256: str) -> MappedDataset:
        self.unpacked(sha256)  # others need not wait until it has been fetched
        with self._lock:
            self._hold(sha256)
            # Another process may have deleted it; a mapping would keep its bytes on the disk.
            found = self._open.get(sha256)
            if found is None or not found.is_current():
                self._open.pop(sha256, None)
                found = self._open[sha256] = self._map(sha256)
            return found

    def _hold(self, sha256: str) -> None:
        """Keep the copy of a shared data set from being deleted while this process uses it."""
        if self._copies and sha256 not in SHIPPED:
            for _ in range(HOLDS):
                if self._copies.hold(self.unpacked(sha256)):
                    return

    def _is_whole_here(self, sha256: str) -> bool:
        try:
            self._map(sha256)
        except DatasetGone:
            return False
        return True

    def _map(self, sha256: str) -> MappedDataset:
        folder = self.folder(sha256)
        if is_marked(folder):
            raise DatasetDamaged(sha256)
        manifest = SHIPPED.get(sha256) or self._manifest(sha256)
        with _damaged_if_it_fails(folder, sha256):
            return map_dataset(folder, sha256, manifest)

    def _manifest(self, sha256: str) -> Manifest:
        folder = self.folder(sha256)
        with _damaged_if_it_fails(folder, sha256):
            return read_manifest(folder, sha256)

    def _told(self, sha256: str, read: Callable[[str], Read]) -> Read:
        """Return what `read` does, and tell of damage that it meets.

        Raises:
            DatasetDamaged: also if there are no files, although data sets have this digest.
            DatasetGone: there are none, and need not be.

        """
        try:
            return read(sha256)
        except DatasetGone as exc:
            if self.are_copies and self._renew(sha256):
                return read(sha256)
            folder = self.folder(sha256)
            if not self._on_damage(sha256, folder, lambda: not self._is_whole_here(sha256)):
                raise
            if self._is_whole_here(sha256):  # a check has just repaired it
                return read(sha256)
            raise DatasetDamaged(sha256) from exc

    def _renew(self, sha256: str) -> bool:
        """Fetch a data set in place of a copy that is damaged or missing; return if it is whole."""
        self.delete(sha256)
        return self.is_whole(sha256)


def dataset_files_of(
    environment: Mapping[str, str], on_damage: OnDamage = lambda *_: False
) -> DatasetFiles:
    """Return the data sets that a launcher names in the environment of a worker."""
    shared = shared_folders(environment.get("MLP_SHARED_URL"), KIND)
    most_bytes = int(environment.get("MLP_DATASET_COPIES_BYTES", MOST_BYTES))
    return DatasetFiles(Path(environment["MLP_DATASETS_DIR"]), on_damage, shared, most_bytes)


@contextlib.contextmanager
def _damaged_if_it_fails(folder: Path, sha256: str) -> Iterator[None]:
    """Name what is wrong with the files of a data set.

    Raises:
        DatasetDamaged: they are missing, empty or misshapen.
        DatasetGone: there is no folder.
        StoreBroken: they can't be read, or are those of a shipped data set.

    """
    with _broken_if_it_fails(sha256):
        try:
            yield
        except DAMAGE as exc:
            if sha256 in SHIPPED:
                forget_verified(folder)  # so that the verification soon unpacks it anew
                raise
            if not folder.is_dir():
                raise DatasetGone(sha256) from exc
            logger.error("dataset_damaged: %s: %s", sha256, exc)
            raise DatasetDamaged(sha256) from exc


@contextlib.contextmanager
def _broken_if_it_fails(sha256: str) -> Iterator[None]:
    try:
        yield
    except (OSError, *DAMAGE, zlib.error) as exc:
        named = shipped_mnist.NAME if sha256 in SHIPPED else f"with the digest {sha256}"
        raise StoreBroken(f"the data set {named} can't be read: {exc}") from exc


def seal(staged: Path) -> None:
    """Make the files of a folder read-only, and sync them and the folder.

    Raises:
        StoreBroken: they can't be written.

    """
    try:
        for path in staged.iterdir():
            path.chmod(READ_ONLY)
            sync(path)
        sync(staged)
    except OSError as exc:
        raise store_error(f"write the folder {staged.name}", exc) from exc


def _rename_unless_there(staged: Path, folder: Path) -> None:
    try:
        staged.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the arrays in a folder, by their names."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        arrays = [entry for entry in entries if entry.name.endswith(".npy")]
        return {entry.name: entry.stat().st_size for entry in arrays}
    return {}


def _unpack(folder: Path, manifest: Manifest) -> None:
    """Write the files of MNIST that are not there yet; of concurrent processes, one does so."""
    paths = {name: folder / f"{name}.npy" for name in shipped_mnist.FILES}
    if all(path.exists() for path in (*paths.values(), folder / MANIFEST_FILE)):
        return
    with locked(folder):
        for name, path in paths.items():
            if not path.exists():
                write_array(path, shipped_mnist.unpacked(name))
        record = json.dumps(manifest.as_record()).encode()
        write_atomic(folder / MANIFEST_FILE, record, READ_ONLY)
