"""What the service counts and times, for Prometheus."""

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
"""Others are one: each would have series of its own, and clients choose them."""
ASKED = ("http_request_method", "url_scheme")
ANSWERED = ("http_route", "http_response_status_code", "error_type")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

logger = structlog.get_logger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Requests by OpenTelemetry's names; jobs and refused predictions are asked for when read.

    FastAPI's own telemetry does the same by OpenTelemetry's SDK, in a sixth of the time of a short
    request.
    """

    def __init__(self, jobs: JobStore, admission: Admission) -> None:
        self._registry = registry = CollectorRegistry()
        active = Gauge(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
            ASKED,
            registry=registry,
        )
        duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            ASKED + ANSWERED,
            buckets=BUCKETS,
            registry=registry,
        )
        self._active, self._duration = cache(active.labels), cache(duration.labels)
        registry.register(_Counted(jobs, admission))

    def page(self) -> tuple[bytes, str]:
        """Return all metrics, and the media type of that text."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def around(self, app: ASGIApp) -> ASGIApp:
        async def timed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status, error = "", "ConnectionError"  # until the answer is complete

            async def noted(message: Message) -> None:
                nonlocal status, error
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    error = status if status >= "500" else ""

            asked = _known(scope["method"], METHODS), _known(scope["scheme"], SCHEMES)
            self._active(*asked).inc()
            started = perf_counter()
            try:
                await app(scope, receive, noted)
            except BaseException as exc:
                error = type(exc).__qualname__
                raise
            finally:
                route = getattr(scope.get("route"), "path_format", "")
                seconds = perf_counter() - started
                self._duration(*asked, route, status, error).observe(seconds)
                self._active(*asked).dec()

        return timed


def _known(value: str, known: Sequence[str]) -> str:
    return value if value in known else "_OTHER"


class _Counted(Collector):
    def __init__(self, jobs: JobStore, admission: Admission) -> None:
        self._jobs = jobs
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        about = "predictions refused because too many were under way"
        yield CounterMetricFamily("mlp_predictions_refused", about, value=self._admission.refused)
        try:
            counts = self._jobs.counts()
        except Exception as exc:  # the others can be read all the same
            logger.error("jobs_not_counted", error=str(exc))
            return
        jobs = GaugeMetricFamily("mlp_jobs", "jobs in each state", labels=["state"])
        for state, count in counts.items():
            jobs.add_metric([state], count)
        yield jobs
