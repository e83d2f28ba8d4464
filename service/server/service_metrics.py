"""Metrics of jobs and training, read from the database whenever they are asked for."""

from collections.abc import Callable, Iterable, Mapping

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_queue import DatasetQueue
from service.store.jobs import JobStore
from service.store.training_activity import TrainingActivity

logger = structlog.get_logger(__name__)


class ServiceMetrics(Collector):
    """Says what works, counts jobs by state, and adds up what has been trained."""

    def __init__(
        self,
        jobs: JobStore,
        datasets: DatasetQueue,
        damaged: DamagedDatasets,
        activity: TrainingActivity,
        checks: Mapping[str, Callable[[], bool]],
    ) -> None:
        self._jobs, self._datasets, self._damaged = jobs, datasets, damaged
        self._activity, self._checks = activity, checks

    def collect(self) -> Iterable[Metric]:
        checks = GaugeMetricFamily(
            "mlp_check_passed", "Whether each check of /readyz passes: 1 or 0.", labels=["check"]
        )
        for name, check in self._checks.items():
            checks.add_metric([name], check())
        yield checks
        try:
            found = [*self._of_jobs(), *self._of_datasets(), *self._of_training()]
        except Exception as exc:  # the other metrics can still be read
            logger.error("jobs_not_counted", error=str(exc))
            found = []
        yield from found

    def _of_jobs(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("mlp_jobs", "Jobs in each state.", labels=["state"])
        for state, count in self._jobs.counts().items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily(
            "mlp_queue_age_seconds",
            "How long the first job of the queue has been waiting; 0 if the queue is empty.",
            value=self._activity.queue_age(),
        )

    def _of_datasets(self) -> Iterable[Metric]:
        counts = self._datasets.counts()
        sets = GaugeMetricFamily(
            "mlp_datasets", "Uploaded data sets in each state.", labels=["state"]
        )
        for state, (count, _) in counts.items():
            sets.add_metric([state], count)
        yield sets
        yield GaugeMetricFamily(
            "mlp_datasets_bytes",
            "Bytes that uploaded data sets take on disk; equal sets of several owners share them.",
            value=sum(size for _, size in counts.values()),
        )
        yield GaugeMetricFamily(
            "mlp_datasets_damaged",
            "Uploaded data sets whose files were found to be damaged; new uploads repair them.",
            value=self._damaged.count(),
        )

    def _of_training(self) -> Iterable[Metric]:
        done = self._activity.update()
        yield CounterMetricFamily(
            "mlp_epochs",
            "Epochs that jobs have finished since these metrics were first read.",
            value=done.epochs,
        )
        yield CounterMetricFamily(
            "mlp_training_images",
            "Images that jobs have trained with, repetitions included, since the first reading.",
            value=done.images,
        )
        yield CounterMetricFamily(
            "mlp_lost_workers",
            "Workers that have disappeared since these metrics were first read.",
            value=done.lost_workers,
        )
