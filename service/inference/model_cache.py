"""LoadedModel networks for readers: whatever the newest good checkpoint of a job holds."""

import copy
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from mlp_client.job_state import FINAL, State
from mlp_core import Network
from service.domain.errors import NotTrainedYet, StoreBroken
from service.store.checkpoints import Arrays, CheckpointRef, CheckpointStore, weights_only
from service.store.jobs import JobStore
from service.store.stored_job import StoredJob

CACHED = 8
CACHED_BYTES = 128 * 1024**2
"""Of weights, in memory for the next who asks; the last network stays, whatever its size."""
READ_TRIES = 5


@dataclass(frozen=True)
class LoadedModel:
    """A network as one checkpoint has it."""

    job: str
    dataset: str
    saved: CheckpointRef
    network: Network
    arrays: Arrays

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(array.nbytes for array in self.arrays.values())


class ModelCache:
    """The trained networks by job id, or `latest` for the job that succeeded last."""

    def __init__(self, jobs: JobStore, checkpoints: CheckpointStore) -> None:
        self._jobs = jobs
        self._checkpoints = checkpoints
        self._cache: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, Future[LoadedModel]] = {}
        self._lock = threading.Lock()

    def seen_by(self, jobs: JobStore) -> "ModelCache":
        """Return these networks as far as `jobs` knows theirs; what is cached is cached for all.

        The cache is asked for the keys of checkpoints only, and those come from `jobs`.
        """
        view = copy.copy(self)
        view._jobs = jobs
        return view

    def newest(self, ref: str) -> CheckpointRef:
        """Return what `get` will load, if the file is good; as cheap as a look at the row.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.

        """
        _, saved = self._saved(ref)
        return saved[0]

    def get(self, ref: str) -> LoadedModel:
        """Return the network that `ref` names, also while its job still trains.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.

        """
        for _ in range(READ_TRIES):
            job, saved = self._saved(ref)
            try:
                return self._newest_good(job, saved)
            except FileNotFoundError:
                continue  # a newer checkpoint has just taken its place: read the row again
        raise StoreBroken(f"no checkpoint file of job {job.id} can be found")

    def known(self, ref: str) -> LoadedModel | None:
        """Return what `get` would, if that is in memory; wait for a commit at most."""
        key = self._jobs.newest_checkpoint_key(ref)
        found = self._cache.get(key) if key else None
        if key and found and self._lock.acquire(blocking=False):
            if key in self._cache:
                self._cache.move_to_end(key)
            self._lock.release()
        return found

    def _saved(self, ref: str) -> tuple[StoredJob, list[CheckpointRef]]:
        id_ = self._jobs.latest_succeeded() if ref == "latest" else ref
        job, saved = self._jobs.with_checkpoints(id_)
        if not saved:
            raise NotTrainedYet(id_, job.state, ended=job.state in FINAL)
        return job, saved

    def _newest_good(self, job: StoredJob, saved: list[CheckpointRef]) -> LoadedModel:
        if job.state == State.SUCCEEDED:  # the one before is another network than was promised
            return self._load(job, saved[0])
        for candidate in saved[:-1]:
            try:
                return self._load(job, candidate)
            except (StoreBroken, FileNotFoundError):
                continue  # damaged or lost: the one before it may be whole
        return self._load(job, saved[-1])

    def _load(self, job: StoredJob, saved: CheckpointRef) -> LoadedModel:
        """Return a network from memory or its file; many who ask at once wait for one reader."""
        with self._lock:
            if found := self._cache.get(saved.key):
                self._cache.move_to_end(saved.key)
                return found
            others = self._loading.get(saved.key)
            if not others:
                mine = self._loading[saved.key] = Future()
        if others:
            return others.result()
        try:
            trained = self._read(job, saved)
            self._keep(trained)
            mine.set_result(trained)
        except BaseException as exc:
            mine.set_exception(exc)
            raise
        finally:
            with self._lock:
                del self._loading[saved.key]
        return trained

    def _read(self, job: StoredJob, saved: CheckpointRef) -> LoadedModel:
        arrays = weights_only(self._checkpoints.load(saved).arrays)
        network = Network.from_arrays(arrays, job.spec["activation"])
        return LoadedModel(job.id, job.spec["dataset"], saved, network, arrays)

    def _keep(self, trained: LoadedModel) -> None:
        with self._lock:
            self._cache[trained.saved.key] = trained
            size = sum(kept.size for kept in self._cache.values())
            while len(self._cache) > CACHED or (size > CACHED_BYTES and len(self._cache) > 1):
                _, forgotten = self._cache.popitem(last=False)
                size -= forgotten.size
