"""Receives the files of data sets: a row first, then the bytes, then a place in the queue.

Whatever happens on the way, an upload that is not completed leaves nothing behind: neither its row
nor a byte on the disk. What a killed server has left, the next one removes at its start.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import structlog
from anyio import to_thread

from service.api.dataset_answers import kept_answer
from service.api.upload_body import Budget, FileReceiver, ReceivedFile
from service.domain.dataset_state import DatasetState
from service.domain.errors import DatasetExists, StoreBroken, StoreFull, TooManyUploads
from service.store.datasets import DatasetStore
from service.store.durable_files import make_directory, store_error
from service.store.idempotency import KeyedRequest
from service.store.part_files import DigestOnly, PartFile
from service.store.stored_dataset import StoredDataset
from service.store.uploads import Uploads

MAX_UPLOADS = 3
"""The most uploads at once; more would only be slower. The last one is kept for owners who have no
other under way, so each may have two."""
RETRY_SECONDS = 5
MARGIN_BYTES = 1024**3
"""What must stay free on the disk, for jobs and everything else."""
MOST_PIXEL_BYTES = 1024**3
"""The most that the arrays of a set can take."""

logger = structlog.get_logger(__name__)


class UploadSlots:
    """Counts the uploads under way, and keeps one owner from having all of them."""

    def __init__(self, most: int = MAX_UPLOADS) -> None:
        self._most = most
        self._by_owner: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._by_owner.total()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Hold a slot for an upload of an owner.

        Raises:
            TooManyUploads: all that the owner may have are taken.

        """
        most = self._most - (self._by_owner[owner] > 0)
        if self.taken >= most:
            raise TooManyUploads(self.taken, RETRY_SECONDS)
        self._by_owner[owner] += 1
        try:
            yield
        finally:
            self._by_owner[owner] -= 1
            self._by_owner += Counter()  # forgets owners who have none


@dataclass(frozen=True)
class Intake:
    """What is needed to receive the files of an owner's data sets."""

    datasets: DatasetStore
    uploads: Uploads
    slots: UploadSlots
    limit: int
    """The most bytes of all files of an upload."""
    wake: Callable[[], None]
    """Wakes the dispatcher of checks."""

    def seen_by(self, datasets: DatasetStore) -> "Intake":
        """Return the intake of the owner of these data sets."""
        return replace(self, datasets=datasets)


@dataclass(frozen=True)
class Sent:
    """A file that has arrived."""

    name: str
    """The name that the client gave it; empty if it gave none."""
    sha256: str
    size: int


def upload_digest(options: dict[str, Any], files: Sequence[Sent]) -> str:
    """Return the digest by which a repeated upload is recognised: of its options and its bytes."""
    sent = [[file.name, file.sha256] for file in files]
    return hashlib.sha256(json.dumps([options, sent], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """The answer to a request for a new data set."""

    record: str
    """The record as JSON; its links have no prefix."""
    is_new: bool = False
    replayed: bool = False
    """Whether an earlier request with the same idempotency key has made it."""


@dataclass(frozen=True)
class Asked:
    """What a client wants to send."""

    name: str
    options: dict[str, Any]
    key: str | None = None
    """Its idempotency key."""

    def request(self, digest: str) -> KeyedRequest | None:
        """Return what is kept with the key, if there is one, for an upload with this digest."""
        return KeyedRequest(self.key, f"{self.name} {digest}".encode()) if self.key else None


class Upload:
    """One upload under way.

    If a data set has its name already, or its idempotency key is known, what is sent is only
    compared with what was sent before, and not stored.
    """

    def __init__(
        self, intake: Intake, asked: Asked, found: StoredDataset | None, *, is_new: bool
    ) -> None:
        """Create it.

        Args:
            intake: where the files go.
            asked: what is being sent.
            found: the row of the new data set, or the data set that has its name; None if the
                idempotency key is known.
            is_new: whether it is new.

        """
        self._intake, self._asked, self._found = intake, asked, found
        self.is_new = is_new
        self._budget = Budget(intake.limit)
        self._sent: list[Sent] = []
        self._receiver: FileReceiver | None = None

    @property
    def count(self) -> int:
        """The number of complete files."""
        return len(self._sent)

    def refuse_other_size(self, size: int | None) -> None:
        """Refuse a file before it is sent, if its size alone tells that it is another one.

        Raises:
            DatasetExists: the data set that has its name was made of another file.

        """
        if self._found and not self.is_new and size not in (None, self._found.upload_bytes):
            raise DatasetExists(self._found.name, self._found.state)

    async def add_file(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Receive the next file.

        Raises:
            ClientDisconnect: the client left before the end.
            UploadTooLarge: all files together have too many bytes.
            StoreBroken: it can't be written.

        """
        self._receiver = FileReceiver(await to_thread.run_sync(self._new_file), self._budget)
        async for piece in pieces:
            await self._receiver.add(piece)
        sha256 = await self._receiver.finish()
        self._sent.append(Sent(name, sha256, self._receiver.file.size))

    def _new_file(self) -> ReceivedFile:
        if not self._found or not self.is_new:
            return DigestOnly()
        self._intake.uploads.create(self._found.id)
        return PartFile(self._intake.uploads.file(self._found.id, self.count))

    async def complete(self) -> Answer:
        """Queue the data set for its check, because all of its files are here; return the answer.

        Raises:
            DatasetExists: the name belongs to a set with other content or options.
            DatasetNotFound: it has been deleted meanwhile.
            KeyReused: the idempotency key was used for another request.

        """
        answer = await to_thread.run_sync(self._complete)
        self._intake.wake()
        return answer

    def _complete(self) -> Answer:
        datasets, digest = self._intake.datasets, upload_digest(self._asked.options, self._sent)
        request = self._asked.request(digest)
        if request and (first := datasets.replay(request)):
            return Answer(first, replayed=True)
        if not self._found or not self.is_new:
            return Answer(kept_answer(datasets.repeated(self._asked.name, digest, request)))
        self._intake.uploads.share(self._found.id)
        names, size = [file.name for file in self._sent], sum(file.size for file in self._sent)
        found = datasets.received(self._found.id, names, digest, size, request)
        return Answer(kept_answer(found), is_new=True)

    def abandon(self) -> None:
        """Delete all that is there of a new data set, unless it has been queued after all.

        The answer to a commit may be lost on its way from a database server.
        """
        if self._receiver:
            self._receiver.file.close()
        if self._found and self.is_new and self._intake.datasets.discard(self._found.id):
            self._intake.uploads.delete(self._found.id)


@asynccontextmanager
async def upload(intake: Intake, asked: Asked, length: int) -> AsyncIterator[Upload]:
    """Begin an upload; unless it is completed within, nothing of it is left.

    Args:
        intake: where the files go.
        asked: what is being sent.
        length: bytes that are going to be sent, 0 if that is not known.

    Raises:
        DatasetExists: the name belongs to the service, or the set is being sent now.
        QuotaExceeded: the owner, or all together, have too many data sets.
        StoreFull: there is too little space for it.
        TooManyUploads: as many as possible are under way.
        UploadTooLarge: its length is known, and is more than is allowed.

    """
    Budget(intake.limit).spend(length)
    with intake.slots.one(intake.datasets.owner):
        under_way = await to_thread.run_sync(_begun, intake, asked, length)
        try:
            yield under_way
        except BaseException:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_abandon, under_way)
            raise


def _begun(intake: Intake, asked: Asked, length: int) -> Upload:
    if asked.key and intake.datasets.knows_key(asked.key):
        return Upload(intake, asked, None, is_new=False)
    check_space(intake, needed_bytes(length))
    about = {field: asked.options[field] for field in ("description", "license", "attribution")}
    try:
        found = intake.datasets.receive(asked.name, asked.options, length, **about)
    except DatasetExists as exc:
        if exc.state not in (DatasetState.QUEUED, DatasetState.CHECKING, DatasetState.READY):
            raise
        return Upload(intake, asked, intake.datasets.get(asked.name), is_new=False)
    return Upload(intake, asked, found, is_new=True)


def refuse_early(intake: Intake, length: int, key: str | None = None) -> None:
    """Refuse an upload of which nothing has been read, if its length alone decides.

    What is sent again with a known idempotency key needs no space.

    Raises:
        StoreFull: there is too little space for it.
        UploadTooLarge: it has more bytes than is allowed.

    """
    Budget(intake.limit).spend(length)
    if not (key and intake.datasets.knows_key(key)):
        check_space(intake, needed_bytes(length))


def needed_bytes(length: int) -> int:
    """Return how many bytes must be free before an upload of this length begins.

    Its arrays are written twice, and arranged for training after that; packed files become about
    eight times as large.
    """
    return length + 3 * min(8 * length, MOST_PIXEL_BYTES) + MARGIN_BYTES


def check_space(intake: Intake, needed: int) -> None:
    """Refuse a data set for which the disk has too little space.

    Raises:
        StoreFull: fewer bytes than `needed` are free.

    """
    try:
        make_directory(intake.uploads.directory)
        free = shutil.disk_usage(intake.uploads.directory).free
    except OSError as exc:
        raise store_error("ask how much space is left", exc) from exc
    if free < needed:
        raise StoreFull(
            f"there is too little space: {free:,} bytes are free, and a data set like this needs "
            f"{needed:,} while it is checked"
        )


def _abandon(under_way: Upload) -> None:
    try:
        under_way.abandon()
    except StoreBroken as exc:  # the next start removes what is left
        logger.error("upload_left_behind", error=str(exc))
