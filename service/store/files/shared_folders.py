"""Folders of files that never change, kept where all hosts find them.

A host works on its own copy of a folder; the bucket has another one. A folder in the bucket counts
once its last file is there, which is the one that its owner names. Each object is a file and behind
it the SHA-256 of its bytes, so that one that was changed or cut on the way is never taken for it.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore.store import LocalStore, ObjectStore, from_url

from service.domain.errors import Damaged
from service.store.durable_files import make_directory, sync, temporary_beside
from service.store.files.bucket import (
    FAILURES,
    PATIENCE_SECONDS,
    Sender,
    broken,
    client,
)

logger = logging.getLogger(__name__)

PIECE_BYTES = 4 * 1024**2
DIGEST_BYTES = 32
FETCHES = 2
"""How often what is damaged is fetched: bytes may have changed on the way only."""


class SharedFolders:
    """The folders of one kind, such as data sets, by their names."""

    def __init__(self, url: str, kind: str, patience: float = PATIENCE_SECONDS) -> None:
        """Open them; nothing is read.

        Args:
            url: of a bucket, or the path of a directory that all hosts share.
            kind: tells these folders from others at the same place.
            patience: how many seconds each operation waits for a bucket that does not answer.

        Raises:
            StoreBroken: the URL or the environment does not name a bucket.

        """
        self._kind = kind
        path = url.removeprefix("file://")
        self._directory = None if "://" in path else Path(path).absolute()
        """The directory that all hosts share; None for a bucket."""
        self._sender: Sender | None = None
        try:
            if self._directory is None:
                self._store: ObjectStore = from_url(url, **client(patience))
                self._sender = Sender(url, patience)
            else:  # whoever comes first makes it
                self._store = LocalStore(self._directory, mkdir=True)
        except (*FAILURES, ValueError) as exc:
            raise broken("open what MLP_ARTIFACTS_URL names", exc) from exc

    def share(self, name: str, folder: Path, last: str | None = None) -> None:
        """Copy the files of a folder to where all hosts find them; the file `last` comes last.

        Raises:
            StoreBroken: they can't be read or written.

        """
        try:
            paths = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
            for path in sorted(paths, key=lambda path: (path.name == last, path.name)):
                self.share_file(name, path)
        except OSError as exc:
            raise broken(f"share {name}", exc) from exc

    def equals(self, name: str, folder: Path) -> bool:
        """Return whether a shared folder has the same files as one here, byte for byte.

        Raises:
            StoreBroken: they can't be read.

        """
        try:
            paths = [path for path in folder.iterdir() if path.is_file()]
            if self._keys(name) != sorted(self._key(name, path.name) for path in paths):
                return False
            return all(self._is_same(self._key(name, path.name), path) for path in paths)
        except FAILURES as exc:
            raise broken(f"compare {name}", exc) from exc

    def _is_same(self, key: str, path: Path) -> bool:
        here, there = hashlib.sha256(), hashlib.sha256()
        for piece in _with_digest(path):
            here.update(piece)
        try:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=PIECE_BYTES):
                there.update(piece)
        except FileNotFoundError:
            return False
        return here.digest() == there.digest()

    def share_file(self, name: str, path: Path) -> None:
        """Copy one file of a folder to where all hosts find it, in place of an earlier one.

        Raises:
            StoreBroken: it can't be read or written.

        """
        key, content = self._key(name, path.name), _with_digest(path)
        try:
            if self._directory:
                _write_durably(self._directory / key, content)
            elif self._sender:
                self._sender.put(key, content, path.stat().st_size)
        except FAILURES as exc:
            raise broken(f"share {name}", exc) from exc

    def fetch_file(self, name: str, path: Path) -> None:
        """Copy one file of a shared folder here, in place of an earlier copy.

        Raises:
            StoreBroken: it can't be read or written, is damaged, or is not there.

        """
        make_directory(path.parent)
        try:
            for _ in range(FETCHES - 1):
                with contextlib.suppress(Damaged):  # perhaps on the way only
                    return self._fetch_file(self._key(name, path.name), path)
            return self._fetch_file(self._key(name, path.name), path)
        except FAILURES as exc:
            raise broken(f"fetch {name}", exc) from exc

    def fetch(self, name: str, folder: Path, last: str | None = None) -> bool:
        """Copy the files of a shared folder into a new one here, durably.

        Returns whether there is such a folder, whole and undamaged, with the file `last`.

        Raises:
            StoreBroken: the files can't be read or written.

        """
        for _ in range(FETCHES):
            try:
                return self._fetch(name, folder, last)
            except Damaged as exc:
                logger.warning("%s", exc)
        return False

    def _fetch(self, name: str, folder: Path, last: str | None) -> bool:
        keys = self._keys(name)
        if not keys or (last is not None and self._key(name, last) not in keys):
            return False
        make_directory(folder)
        try:
            for key in keys:
                self._fetch_file(key, folder / key.rpartition("/")[2])
            sync(folder)
        except FileNotFoundError:  # it is being deleted
            return False
        except FAILURES as exc:
            raise broken(f"fetch {name}", exc) from exc
        return True

    def holds(self, name: str, last: str) -> bool:
        """Return whether there is such a folder, whole, with the file `last`.

        Raises:
            StoreBroken: the bucket can't be read.

        """
        return self._key(name, last) in self._keys(name)

    def delete(self, name: str) -> None:
        """Delete a shared folder.

        Raises:
            StoreBroken: it can't be deleted.

        """
        if keys := self._keys(name, hidden=True):
            try:
                obstore.delete(self._store, keys)
            except FileNotFoundError:
                return
            except FAILURES as exc:
                raise broken(f"delete {name}", exc) from exc

    def _fetch_file(self, key: str, path: Path) -> None:
        pieces = obstore.get(self._store, key).stream(min_chunk_size=PIECE_BYTES)
        temporary = temporary_beside(path)
        try:
            with temporary.open("wb") as file:
                _write_whole(file, pieces, key)
            sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _keys(self, name: str, *, hidden: bool = False) -> list[str]:
        """Return the keys of a folder; the hidden ones are of files that nobody goes on writing."""
        try:
            pages = list(obstore.list(self._store, f"{self._kind}/{name}/"))
        except FAILURES as exc:
            raise broken(f"list {name}", exc) from exc
        keys = sorted(found["path"] for page in pages for found in page)
        return [key for key in keys if hidden or key.rpartition("/")[2][0] != "."]

    def _key(self, name: str, file: str) -> str:
        return f"{self._kind}/{name}/{file}"


def _with_digest(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and then the digest of them."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            yield piece
    yield digest.digest()


def _write_durably(path: Path, content: Iterable[bytes]) -> None:
    """Write a file so that after a power cut `path` holds all of it, or what it held before."""
    make_directory(path.parent)
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            file.writelines(content)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_whole(file: BinaryIO, pieces: Iterable[Any], key: str) -> None:
    """Write an object to a file, without the digest behind it.

    Raises:
        Damaged: the digest is another one.

    """
    digest, kept = hashlib.sha256(), b""
    for piece in pieces:
        kept += bytes(piece)
        content, kept = kept[:-DIGEST_BYTES], kept[-DIGEST_BYTES:]
        digest.update(content)
        file.write(content)
    if kept != digest.digest():
        raise Damaged(f"the object {key} is damaged: its SHA-256 is not the recorded one")
