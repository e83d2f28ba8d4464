"""Trained networks for readers: whatever the newest good checkpoint of a job holds."""

import copy
import threading
from collections import OrderedDict
from dataclasses import dataclass

from mlp_core import Network
from service.errors import NotTrainedYet, StoreBroken
from service.job import Job, State
from service.store.checkpoints import Arrays, CheckpointStore, weights_only
from service.store.jobs import JobStore, SavedCheckpoint

CACHED = 8
READ_TRIES = 5


@dataclass(frozen=True)
class Trained:
    """A network as one checkpoint has it."""

    job: str
    dataset: str
    saved: SavedCheckpoint
    network: Network
    arrays: Arrays


class Networks:
    """The trained networks by job id, or `latest` for the job that succeeded last."""

    def __init__(self, jobs: JobStore, checkpoints: CheckpointStore) -> None:
        self._jobs = jobs
        self._checkpoints = checkpoints
        self._cache: OrderedDict[str, Trained] = OrderedDict()
        self._lock = threading.Lock()

    def seen_by(self, jobs: JobStore) -> "Networks":
        """Return these networks as far as `jobs` knows theirs; what is cached is cached for all.

        The cache is asked for the keys of checkpoints only, and those come from `jobs`.
        """
        view = copy.copy(self)
        view._jobs = jobs
        return view

    def get(self, ref: str) -> Trained:
        """Return the network that `ref` names, also while its job still trains.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.

        """
        id_ = self._jobs.latest_succeeded() if ref == "latest" else ref
        for _ in range(READ_TRIES):
            job, saved = self._jobs.with_checkpoints(id_)
            if not saved:
                raise NotTrainedYet(id_, job.state)
            try:
                return self._newest_good(job, saved)
            except FileNotFoundError:
                continue  # a newer checkpoint has just taken its place: read the row again
        raise StoreBroken(f"no checkpoint file of job {id_} can be found")

    def _newest_good(self, job: Job, saved: list[SavedCheckpoint]) -> Trained:
        if job.state == State.SUCCEEDED:  # the one before is another network than was promised
            return self._load(job, saved[0])
        for candidate in saved[:-1]:
            try:
                return self._load(job, candidate)
            except (StoreBroken, FileNotFoundError):
                continue  # damaged or lost: the one before it may be whole
        return self._load(job, saved[-1])

    def _load(self, job: Job, saved: SavedCheckpoint) -> Trained:
        with self._lock:
            if found := self._cache.get(saved.key):
                self._cache.move_to_end(saved.key)
                return found
        arrays = weights_only(self._checkpoints.load(saved).arrays)
        network = Network.from_arrays(arrays, job.spec.activation)
        trained = Trained(job.id, job.spec.dataset, saved, network, arrays)
        with self._lock:
            self._cache[saved.key] = trained
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return trained
