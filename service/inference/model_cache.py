"""Loads the network of a job's newest intact checkpoint, and keeps the last few in memory."""

import copy
import threading
from collections import OrderedDict
from concurrent.futures import Future

from mlp_core import Network
from service.domain.errors import NotTrainedYet, StoreBroken
from service.domain.job_state import FINAL, State
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import CheckpointRef, CheckpointStore, weights_only
from service.store.jobs import JobStore
from service.store.stored_job import StoredJob

CACHED = 8
CACHED_BYTES = 128 * 1024**2
"""The parameters kept in memory may take this much; the newest model stays, whatever its size."""
READ_TRIES = 5


class ModelCache:
    """Trained networks, by job id or by `latest`: the newest job that learned something."""

    def __init__(self, jobs: JobStore, checkpoints: CheckpointStore) -> None:
        self._jobs = jobs
        self._checkpoints = checkpoints
        self._cache: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, Future[LoadedModel]] = {}
        self._lock = threading.Lock()

    def seen_by(self, jobs: JobStore) -> "ModelCache":
        """Return a view restricted to the jobs that `jobs` can see, over the same cache.

        The cache is keyed by checkpoint, and a view gets the keys of checkpoints from its own
        `jobs` only, so it can't return the model of a job that is hidden from it.
        """
        view = copy.copy(self)
        view._jobs = jobs
        return view

    def newest_checkpoint(self, ref: str) -> CheckpointRef:
        """Return the checkpoint that `get` will load if its file is intact; reads the row only.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.

        """
        _, checkpoints = self._job_and_checkpoints(ref)
        return checkpoints[0]

    def get(self, ref: str) -> LoadedModel:
        """Return the model that `ref` names, also while its job is still training.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.
            StoreBroken: none of its checkpoints can be read.

        """
        for _ in range(READ_TRIES):
            job, checkpoints = self._job_and_checkpoints(ref)
            try:
                return self._newest_intact(job, checkpoints)
            except FileNotFoundError:
                continue  # a newer checkpoint has just replaced it: read the row again
        raise StoreBroken(f"no checkpoint file of job {job.id} can be found")

    def cached(self, ref: str) -> LoadedModel | None:
        """Return what `get` would if it is in memory, else None; waits for a commit at most."""
        key = self._jobs.newest_checkpoint_key(ref)
        found = self._cache.get(key) if key else None
        if key and found and self._lock.acquire(blocking=False):
            if key in self._cache:
                self._cache.move_to_end(key)
            self._lock.release()
        return found

    def _job_and_checkpoints(self, ref: str) -> tuple[StoredJob, list[CheckpointRef]]:
        id_ = self._jobs.latest() if ref == "latest" else ref
        job, checkpoints = self._jobs.with_checkpoints(id_)
        if not checkpoints:
            raise NotTrainedYet(id_, job.state, ended=job.state in FINAL)
        return job, checkpoints

    def _newest_intact(self, job: StoredJob, checkpoints: list[CheckpointRef]) -> LoadedModel:
        if job.state == State.SUCCEEDED:  # an earlier checkpoint is another network
            return self._load(job, checkpoints[0])
        for candidate in checkpoints[:-1]:
            try:
                return self._load(job, candidate)
            except (StoreBroken, FileNotFoundError):
                continue  # damaged or lost: the one before it may be intact
        return self._load(job, checkpoints[-1])

    def _load(self, job: StoredJob, checkpoint: CheckpointRef) -> LoadedModel:
        """Return a model from memory or from its file, which concurrent callers read only once."""
        with self._lock:
            if found := self._cache.get(checkpoint.key):
                self._cache.move_to_end(checkpoint.key)
                return found
            pending = self._loading.get(checkpoint.key)
            if not pending:
                result = self._loading[checkpoint.key] = Future()
        if pending:
            return pending.result()
        try:
            model = self._read(job, checkpoint)
            self._keep(model)
            result.set_result(model)
        except BaseException as exc:
            result.set_exception(exc)
            raise
        finally:
            with self._lock:
                del self._loading[checkpoint.key]
        return model

    def _read(self, job: StoredJob, checkpoint: CheckpointRef) -> LoadedModel:
        arrays = weights_only(self._checkpoints.load(checkpoint).arrays)
        network = Network.from_arrays(arrays, job.spec["activation"])
        return LoadedModel(job.id, job.spec["dataset"], checkpoint, network, arrays)

    def _keep(self, model: LoadedModel) -> None:
        with self._lock:
            self._cache[model.checkpoint.key] = model
            size = sum(kept.nbytes for kept in self._cache.values())
            while len(self._cache) > CACHED or (size > CACHED_BYTES and len(self._cache) > 1):
                _, dropped = self._cache.popitem(last=False)
                size -= dropped.nbytes
