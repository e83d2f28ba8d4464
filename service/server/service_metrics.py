"""Metrics of jobs and training, read from the database whenever they are asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from service.domain.dataset_state import DatasetState
from service.domain.job_state import WITH_WORKER, State
from service.domain.task_kind import TaskKind
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_queue import DatasetQueue
from service.store.evaluation_queue import EvaluationQueue
from service.store.hosts import Host
from service.store.jobs import JobStore
from service.store.training_activity import TrainingActivity

SAME = "All servers of one database show the same, so take the maximum and not the sum."

logger = structlog.get_logger(__name__)

DatasetCounts = Mapping[DatasetState, tuple[int, int]]
"""How many data sets are in each state, and their bytes."""
Ended = Callable[[], Mapping[str, tuple[int, float]]]
"""Returns how many workers have ended since the server started, and their seconds, by outcome."""


class ServiceMetrics(Collector):
    """Says what works, counts jobs by state, and adds up what has been trained."""

    def __init__(
        self,
        jobs: JobStore,
        datasets: DatasetQueue,
        evaluations: EvaluationQueue,
        damaged: DamagedDatasets,
        activity: TrainingActivity,
        checks: Mapping[str, Callable[[], bool]],
        ended: Mapping[TaskKind, Ended],
        slots: int = 0,
        hosts: Callable[[], Sequence[Host] | None] = lambda: None,
    ) -> None:
        """Create it.

        Args:
            jobs: all jobs.
            datasets: all data sets.
            evaluations: all large evaluations.
            damaged: counts damaged data sets.
            activity: adds up what is trained.
            checks: those of `/readyz`.
            ended: what has become of the workers that train no job.
            slots: how many jobs this server can train concurrently.
            hosts: returns the hosts that train jobs; None if this server trains them all.

        """
        self._slots, self._hosts = slots, hosts
        self._jobs, self._datasets, self._evaluations = jobs, datasets, evaluations
        self._damaged, self._activity, self._checks = damaged, activity, checks
        self._ended = ended

    def collect(self) -> Iterable[Metric]:
        checks = GaugeMetricFamily(
            "mlp_check_passed", "Whether each check of /readyz passes: 1 or 0.", labels=["check"]
        )
        for name, check in self._checks.items():
            checks.add_metric([name], check())
        yield checks
        try:
            datasets = self._datasets.counts()
            found = [*self._of_jobs(), *self._of_datasets(datasets), *self._of_training()]
            found += self._of_tasks(datasets)
        except Exception as exc:  # the other metrics can still be read
            logger.error("jobs_not_counted", error=str(exc))
            found = []
        yield from found

    def _of_jobs(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("mlp_jobs", f"Jobs in each state. {SAME}", labels=["state"])
        counts = self._jobs.counts()
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
        yield from self._of_hosts(sum(counts.get(state, 0) for state in WITH_WORKER))
        yield GaugeMetricFamily(
            "mlp_queue_age_seconds",
            f"How long the first job of the queue has been waiting; 0 without one. {SAME}",
            value=self._activity.queue_age(),
        )

    def _of_hosts(self, running: int) -> Iterable[Metric]:
        hosts = self._hosts()
        count, free = int(self._slots > 0), max(0, self._slots - running)
        if hosts is not None:
            count, free = len(hosts), sum(max(0, host.slots - host.busy) for host in hosts)
        what = "Hosts that train jobs; a server that trains them all itself is the only one."
        yield GaugeMetricFamily("mlp_hosts", f"{what} {SAME}", count)
        slots = GaugeMetricFamily(
            "mlp_slots", f"Places for jobs that have a worker, or none. {SAME}", labels=["state"]
        )
        slots.add_metric(["busy"], running)
        slots.add_metric(["free"], free)
        yield slots

    def _of_datasets(self, counts: DatasetCounts) -> Iterable[Metric]:
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

    def _of_tasks(self, datasets: DatasetCounts) -> Iterable[Metric]:
        unfinished = self._evaluations.unfinished()
        queued, checking = datasets[DatasetState.QUEUED][0], datasets[DatasetState.CHECKING][0]
        tasks = GaugeMetricFamily(
            "mlp_tasks",
            "Checks of data sets and large evaluations that are queued or running.",
            labels=["kind", "state"],
        )
        tasks.add_metric([TaskKind.DATASET_CHECK, State.QUEUED], queued)
        tasks.add_metric([TaskKind.DATASET_CHECK, State.RUNNING], checking)
        for state, count in unfinished.items():
            tasks.add_metric([TaskKind.EVALUATION, state], count)
        yield tasks
        durations = SummaryMetricFamily(
            "mlp_task_duration_seconds",
            "How long workers have run for checks of data sets and large evaluations, by outcome.",
            labels=["kind", "outcome"],
        )
        for kind, ended in self._ended.items():
            for outcome, (count, seconds) in ended().items():
                durations.add_metric([kind, outcome], count, seconds)
        yield durations

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
