"""Loads networks from checkpoints and snapshots, and keeps the last few in memory."""

import copy
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Literal

from mlp_core import Network
from service.domain.errors import EpochNotKept, NotTrainedYet, StoreBroken
from service.domain.job_state import FINAL, State
from service.domain.model_ref import model_ref
from service.inference.loaded_model import LoadedModel
from service.inference.start_network import start_network
from service.store.checkpoints import (
    Arrays,
    CheckpointRef,
    CheckpointStore,
    weights_only,
    weights_sha256,
)
from service.store.jobs import JobStore
from service.store.snapshots import Snapshot, start_key
from service.store.stored_job import StoredJob

CACHED = 8
CACHED_BYTES = 128 * 1024**2
"""The parameters kept in memory may take this much; the newest model stays, whatever its size."""
READ_TRIES = 5


class ModelCache:
    """Networks by reference: a job's newest one, or with `@` the one after an epoch.

    In place of a job stands `latest`, the newest one that learned something.
    """

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
        """Return the checkpoint that `get` will load if its file is intact; reads rows only.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.
            EpochNotKept: it does not keep the network after this epoch.
            StartUnknown: the network before training can't be made again here.

        """
        job, candidates = self._candidates(ref)
        if candidates[0].key == start_key(job.id):  # its digest is known once it has been made
            return self._load(job, candidates[0]).checkpoint
        return candidates[0]

    def get(self, ref: str) -> LoadedModel:
        """Return the model that `ref` names, also while its job is still training.

        Raises:
            JobNotFound: there is no such job.
            NotTrainedYet: it has no checkpoint yet.
            EpochNotKept: it does not keep the network after this epoch.
            StartUnknown: the network before training can't be made again here.
            StoreBroken: none of its checkpoints can be read.

        """
        for _ in range(READ_TRIES):
            job, candidates = self._candidates(ref)
            try:
                return self._newest_intact(job, candidates)
            except FileNotFoundError:
                continue  # a newer checkpoint has just replaced it: read the row again
        raise StoreBroken(f"no checkpoint file of job {job.id} can be found")

    def read(self, job: StoredJob, file: CheckpointRef) -> LoadedModel:
        """Return one of the `kept_networks` of a job, which is not kept in memory for it.

        Raises:
            FileNotFoundError: a better one has just replaced it.
            StartUnknown: the network before training can't be made again here.
            StoreBroken: it can't be read.

        """
        return self._cache.get(file.key) or self._read(job, file)

    def lasting_ref(self, ref: str) -> str:
        """Return a reference that names the same network when a job has trained on.

        If a reference names a job that still trains, it is that of the newest network that stays.
        Others are returned as they are, and so is one of a job that keeps no network yet.

        Raises:
            JobNotFound: there is no such job.

        """
        named = model_ref(ref)
        if named.is_latest or named.at is not None:  # the former has succeeded
            return ref
        job, _, snapshots = self._jobs.with_snapshots(named.job)
        stay = [it.epoch for it in snapshots if it.is_planned]
        if job.state in FINAL or job.state == State.PAUSED or not stay:
            return ref
        return f"{job.id}@{stay[-1]}"

    def cached(self, ref: str) -> LoadedModel | None:
        """Return what `get` would if it is in memory, else None; waits for a commit at most."""
        return self._in_memory(self._jobs.network_key(model_ref(ref)))

    async def find_cached(self, ref: str) -> LoadedModel | None:
        """Return what `cached` does, also if the database is a server; it waits a little."""
        return self._in_memory(await self._jobs.find_network_key(model_ref(ref)))

    @property
    def finds_at_once(self) -> bool:
        """Whether `cached` finds what there is; `find_cached` always does."""
        return self._jobs.finds_at_once

    def _in_memory(self, key: str | None) -> LoadedModel | None:
        found = self._cache.get(key) if key else None
        if key and found and self._lock.acquire(blocking=False):
            if key in self._cache:
                self._cache.move_to_end(key)
            self._lock.release()
        return found

    def _candidates(self, ref: str) -> tuple[StoredJob, list[CheckpointRef]]:
        """Return the job, and what may be loaded in its place if it is damaged, best first."""
        named = model_ref(ref)
        id_ = self._jobs.latest() if named.is_latest else named.job
        if named.at is not None:
            job, kept = self.kept_networks(id_)
            return job, [_network_after(job, kept, named.at)]
        job, checkpoints = self._jobs.with_checkpoints(id_)
        if not checkpoints:
            raise NotTrainedYet(id_, job.state, ended=job.state in FINAL)
        return job, checkpoints

    def kept_networks(self, ref: str) -> tuple[StoredJob, dict[int, Snapshot]]:
        """Return the job of a reference, and the networks it keeps by the number of epochs done.

        Raises:
            JobNotFound: there is no such job.

        """
        named = model_ref(ref)
        id_ = self._jobs.latest() if named.is_latest else named.job
        job, checkpoints, snapshots = self._jobs.with_snapshots(id_)
        start = CheckpointRef(id_, 0, 0, 0, start_key(id_), 0, "")
        after = [start, *(it for it in checkpoints if it.batches_done == 0)]
        kept = {it.epochs_done: Snapshot(it, _accuracy(job, it.epochs_done)) for it in after}
        kept |= {it.epoch: it for it in snapshots}
        return job, dict(sorted(kept.items()))

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
        if checkpoint.key == start_key(job.id):
            return self._make_start(job, checkpoint)
        arrays = weights_only(self._checkpoints.load(checkpoint).arrays)
        network = Network.from_arrays(arrays, job.spec["activation"])
        return _loaded(job, checkpoint, network, arrays)

    def _make_start(self, job: StoredJob, checkpoint: CheckpointRef) -> LoadedModel:
        """Return the network before the first step."""
        network = start_network(job)
        arrays = network.arrays()
        named = replace(checkpoint, sha256=weights_sha256(arrays))
        return _loaded(job, named, network, arrays)

    def _keep(self, model: LoadedModel) -> None:
        with self._lock:
            self._cache[model.checkpoint.key] = model
            size = sum(kept.nbytes for kept in self._cache.values())
            while len(self._cache) > CACHED or (size > CACHED_BYTES and len(self._cache) > 1):
                _, dropped = self._cache.popitem(last=False)
                size -= dropped.nbytes


def _loaded(
    job: StoredJob, checkpoint: CheckpointRef, network: Network, arrays: Arrays
) -> LoadedModel:
    return LoadedModel(job.id, job.spec["dataset"], job.manifest, checkpoint, network, arrays)


def _network_after(
    job: StoredJob, kept: Mapping[int, Snapshot], at: int | Literal["best"]
) -> CheckpointRef:
    """Return the network after an epoch, or after the best one.

    Raises:
        NotTrainedYet: no epoch is measured yet, so none is the best.
        EpochNotKept: it is not kept.

    """
    is_best, epoch = at == "best", at
    if at == "best":
        if job.best is None:
            raise NotTrainedYet(job.id, job.state, ended=job.state in FINAL)
        epoch = job.best["epoch"]
    if found := kept.get(int(epoch)):
        return found.file
    raise EpochNotKept(job.id, int(epoch), list(kept), best=is_best)


def _accuracy(job: StoredJob, epoch: int) -> float | None:
    """Return the test accuracy of an epoch, if the job's row has it."""
    for record in (job.latest, job.best):
        if record and record["epoch"] == epoch:
            return float(record["test_accuracy"])
    return None
