"""Metrics of requests and predictions, in Prometheus's text format."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from time import monotonic

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.types import Scope

from service.domain.request_facts import RequestFacts
from service.server.admission import Admission

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SCHEMES = ("http", "https")
"""All other methods and schemes share one label. Clients choose them, and each value would create
time series of its own."""
REQUEST_LABELS = ("http_request_method", "url_scheme")
RESPONSE_LABELS = ("http_route", "http_response_status_code", "error_type")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
MAX_MODELS = 50
"""Most models with a time series of their own; the others are counted together."""
IDLE_SECONDS = 3600
"""A model that has not predicted for so long makes room for another."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped

Labels = tuple[str, ...]


class Metrics(Collector):
    """Measures requests under OpenTelemetry's names, and counts what is predicted and refused.

    FastAPI's own telemetry measures the same with OpenTelemetry's SDK, which would take a sixth of
    the time of a short request; the counters of prometheus_client take a lock for each number. Here
    only the event loop counts, in plain dictionaries, which are copied when they are read.
    """

    def __init__(self, admission: Admission, *others: Collector) -> None:
        """Also publish what `admission` has refused, and the metrics of `others`."""
        self._admission = admission
        self._registries = {True: CollectorRegistry(), False: CollectorRegistry()}
        self._active: Counter[Labels] = Counter()
        self._durations: dict[Labels, Durations] = {}
        self._models = ModelCounts()
        self._warnings: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        for by_model, registry in self._registries.items():
            for collector in (self if by_model else WithoutModels(self), *others):
                registry.register(collector)

    def page(self, by_model: bool) -> tuple[bytes, str]:
        """Return all metrics as text, and the media type of the text.

        Args:
            by_model: count predictions by model. Its name is the id of a job, which the jobs'
                owner alone should learn.

        """
        return generate_latest(self._registries[by_model]), CONTENT_TYPE_LATEST

    def predictions(self) -> int:
        """Return how many images have been predicted."""
        return self._models.counts().total()

    def begin(self, scope: Scope) -> Labels:
        """Count a request as active; return what `end` needs."""
        method, scheme = scope["method"], scope["scheme"]
        labels = (
            method if method in METHODS else "_OTHER",
            scheme if scheme in SCHEMES else "_OTHER",
        )
        self._active[labels] += 1
        return labels

    def end(
        self,
        begun: Labels,
        scope: Scope,
        facts: RequestFacts,
        status: int,
        error: str,
        seconds: float,
    ) -> None:
        """Count a request that has ended; the status is 0 if there was no answer."""
        self._active[begun] -= 1
        labels = (*begun, route_template(scope), str(status or ""), error)
        durations = self._durations.get(labels)
        if durations is None:
            durations = self._durations[labels] = Durations()
        durations.add(seconds)
        if facts.model:
            self._models.add(facts.model, facts.predictions)
        if facts.warnings:
            self._warnings.update(facts.warnings)
        if facts.refusals:
            self._refusals.update(facts.refusals)

    def collect(self) -> Iterable[Metric]:
        return self.families(self._models.counts())

    def families(self, predictions: Counter[str]) -> Iterable[Metric]:
        """Return the metrics with these numbers of predictions by model."""
        active = GaugeMetricFamily(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
            labels=REQUEST_LABELS,
        )
        for labels, count in self._active.copy().items():
            active.add_metric(labels, count)
        durations = HistogramMetricFamily(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            labels=REQUEST_LABELS + RESPONSE_LABELS,
        )
        for labels, found in self._durations.copy().items():
            durations.add_metric(labels, found.buckets(), found.sum)
        yield from (active, durations)
        yield _counter(
            "mlp_predictions",
            "Images predicted, by the job that trained the network.",
            "model",
            predictions,
        )
        yield _counter(
            "mlp_prediction_warnings",
            "Warnings about predicted images, by code.",
            "code",
            self._warnings.copy(),
        )
        yield _counter(
            "mlp_refusals",
            "Requests, and images among others, that were refused, by reason.",
            "reason",
            self._refusals + Counter(overloaded=self._admission.refused),
        )
        yield CounterMetricFamily(
            "mlp_predictions_refused",
            "Predictions refused because too many were in progress.",
            value=self._admission.refused,
        )


class WithoutModels(Collector):
    """The same metrics, with the predictions of all models in one number."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.families(Counter(all=self._metrics.predictions()))


class Durations:
    """How many requests took how long."""

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        """All durations together, in seconds."""

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the upper bounds, and how many requests took at most so long."""
        bounds = [*map(str, map(float, BUCKETS)), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))


class ModelCounts:
    """Counts predictions by model, in a limited number of time series."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._used_at: dict[str, float] = {}

    def add(self, model: str, predictions: int) -> None:
        if model not in self._used_at and not self._has_room():
            model = "other"
        else:
            self._used_at[model] = monotonic()
        self._counts[model] += predictions

    def _has_room(self) -> bool:
        """Return whether another model may be counted, which may take the place of an idle one."""
        if len(self._used_at) < MAX_MODELS:
            return True
        oldest = min(self._used_at, key=self._used_at.__getitem__)
        if monotonic() < self._used_at[oldest] + IDLE_SECONDS:
            return False
        del self._used_at[oldest], self._counts[oldest]
        return True

    def counts(self) -> Counter[str]:
        return self._counts.copy()


def route_template(scope: Scope) -> str:
    """Return the path of the route that FastAPI chose, such as /v1/jobs/{job}, or ""."""
    return str(getattr(scope.get("route"), "path_format", ""))


def _counter(name: str, text: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
