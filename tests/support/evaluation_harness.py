"""Trained networks of a small data set, and everything around large evaluations of them."""

from pathlib import Path

import numpy as np

from mlp_client.job_spec import Spec
from service.api.job_records import job_record, new_job
from service.domain import cost
from service.domain.dataset_shape import architecture
from service.domain.job_recipe import recipe_of
from service.inference.model_cache import ModelCache
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.evaluation_attempts import EvaluationAttempt
from service.store.evaluation_queue import EvaluationQueue
from service.store.evaluation_rows import EvaluationQuestion
from service.store.evaluation_tasks import EvaluationTasks
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.work.evaluation_leftovers import EvaluationLeftovers
from service.work.evaluator import Evaluator
from service.work.worker import Worker
from tests.support.engines import artifacts_of, database_url_of
from tests.support.live_service import claimed
from tests.support.own_datasets import OwnSet, add_dataset, own_set


def stripes() -> OwnSet:
    """Return a set of three classes, in which each has a bright row of its own."""
    labels = np.arange(90, dtype=np.uint8) % 3
    rows = np.random.default_rng(5).integers(0, 120, (90, 3, 4))
    rows[np.arange(90), labels] += 90
    return own_set(rows.astype(np.uint8), labels, ["a", "b", "c"], tested=30)


class EvaluationHarness:
    """A data directory with networks, and the queue of large evaluations."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.database = Database(database_url_of(place))
        migrate(self.database.url)
        self.set = stripes()
        self.files = DatasetFiles(place / "datasets")
        add_dataset(self.database, self.files.directory, "stripes", self.set)
        self.jobs = JobStore(self.database)
        self.networks = CheckpointStore(artifacts_of(place))
        self.models = ModelCache(self.jobs, self.networks)
        self.results = LocalArtifacts(place / "evaluations")
        self.queue = EvaluationQueue(self.database)
        self.woken = 0
        self.tasks = EvaluationTasks(self.database, self.results, self._wake)
        self.leftovers = EvaluationLeftovers(self.queue, self.results)

    def _wake(self) -> None:
        self.woken += 1

    def train(self, owner: str | None = None, seed: int = 1) -> str:
        """Train a job to its end in this process; return its id."""
        fields = {"hidden": [], "epochs": 1, "batch_size": 20, "seed": seed, "dataset": "stripes"}
        spec, manifest = Spec.model_validate(fields), self.set.manifest
        shape, shown = manifest.sizes, manifest.image_shape
        priced = cost.cost_of(recipe_of(spec.model_dump(), manifest.classes, shown), shape)
        new = new_job(spec, priced, 3, architecture(shape, spec.hidden), manifest)
        view = self.jobs.seen_by(owner, everything=True)
        view.submit(new, lambda job: job_record(job).model_dump_json())
        attempt = claimed(self.database)
        worker = Worker(attempt, self.networks, self.files)
        worker.run(worker.begin())
        return attempt.job

    def question(self, job: str, split: str = "test") -> EvaluationQuestion:
        manifest = self.set.manifest
        return EvaluationQuestion(
            ref=job,
            checkpoint=self.models.newest_checkpoint(job),
            dataset="stripes",
            dataset_ref=None,
            dataset_sha256=manifest.sha256,
            split=split,
            normalize="never",
            labels=None,
            rows=manifest.rows[split],
            flops=1.0,
        )

    def attempt(self) -> EvaluationAttempt:
        """Claim the oldest evaluation as a dispatcher does."""
        claim = self.queue.claim()
        assert claim
        return EvaluationAttempt(self.database, self.results, claim.job, claim.attempt)

    def evaluator(self, attempt: EvaluationAttempt | None = None) -> Evaluator:
        return Evaluator(attempt or self.attempt(), self.jobs, self.models, self.files, 0.01)

    def on_disk(self) -> list[str]:
        """Return the files of all evaluations."""
        root = self.place / "evaluations"
        return sorted(str(it.relative_to(root)) for it in root.rglob("*") if it.is_file())

    def close(self) -> None:
        self.database.close()
