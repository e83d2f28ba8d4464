"""Request and job metrics in Prometheus's text format."""

from collections.abc import Iterable, Sequence
from functools import cache
from time import perf_counter

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.server.admission import Admission
from service.store.jobs import JobStore

METHODS, SCHEMES = ("GET", "POST", "DELETE", "HEAD", "OPTIONS"), ("http", "https")
"""All other methods and schemes share one label. Clients choose them, and each value would create
time series of its own."""
REQUEST_LABELS = ("http_request_method", "url_scheme")
RESPONSE_LABELS = ("http_route", "http_response_status_code", "error_type")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

logger = structlog.get_logger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped


class Metrics:
    """Measures requests under OpenTelemetry's names; counts jobs and refusals when they are read.

    FastAPI's own telemetry measures the same with OpenTelemetry's SDK, which would take a sixth of
    the time of a short request.
    """

    def __init__(self, jobs: JobStore, admission: Admission) -> None:
        self._registry = registry = CollectorRegistry()
        active = Gauge(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
            REQUEST_LABELS,
            registry=registry,
        )
        duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            REQUEST_LABELS + RESPONSE_LABELS,
            buckets=BUCKETS,
            registry=registry,
        )
        self._active, self._duration = cache(active.labels), cache(duration.labels)
        registry.register(ServiceCollector(jobs, admission))

    def page(self) -> tuple[bytes, str]:
        """Return all metrics as text, and the media type of the text."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def measure(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with its requests counted and timed."""

        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status, error = "", "ConnectionError"  # until the response is complete

            async def observed_send(message: Message) -> None:
                nonlocal status, error
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    error = status if status >= "500" else ""

            request = _label(scope["method"], METHODS), _label(scope["scheme"], SCHEMES)
            self._active(*request).inc()
            started = perf_counter()
            try:
                await app(scope, receive, observed_send)
            except BaseException as exc:
                error = type(exc).__qualname__
                raise
            finally:
                seconds = perf_counter() - started
                self._duration(*request, route_template(scope), status, error).observe(seconds)
                self._active(*request).dec()

        return measured


def route_template(scope: Scope) -> str:
    """Return the path of the route that FastAPI chose, such as /v1/jobs/{job}, or ""."""
    return str(getattr(scope.get("route"), "path_format", ""))


def _label(value: str, known: Sequence[str]) -> str:
    return value if value in known else "_OTHER"


class ServiceCollector(Collector):
    """Counts jobs by state, and refused predictions, whenever the metrics are read."""

    def __init__(self, jobs: JobStore, admission: Admission) -> None:
        self._jobs = jobs
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "mlp_predictions_refused",
            "Predictions refused because too many were in progress.",
            value=self._admission.refused,
        )
        try:
            counts = self._jobs.counts()
        except Exception as exc:  # the other metrics can still be read
            logger.error("jobs_not_counted", error=str(exc))
            return
        jobs = GaugeMetricFamily("mlp_jobs", "Jobs in each state.", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
