"""Logging of the service and its libraries: readable lines on a terminal, JSON everywhere else."""

import atexit
import io
import json
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import ExcInfo

from service.log_writer import LogWriter

SECRET = re.compile(r"(mlp_[a-z0-9]{8,12}_)[A-Za-z0-9_-]{43}")
"""An API key. Clients may put one anywhere, for example into a URL, and URLs are logged."""


@dataclass(frozen=True)
class LogOutput:
    """Where log lines go, for code that formats its own."""

    writer: LogWriter
    as_json: bool
    informative: bool
    """Whether lines of the level `info` are wanted."""


def _no_request() -> None:
    return None


def configure(
    level: str,
    form: Literal["auto", "console", "json"],
    request_id: Callable[[], str | None] = _no_request,
) -> LogOutput:
    """Send everything that is logged to standard error, in one format.

    `request_id` returns the id of the request that is being answered, which lines then have.
    """
    as_json = form == "json" or (form == "auto" and not _is_terminal())
    writer = LogWriter(sys.stderr, _describe_lost_in(as_json))
    atexit.register(writer.close)
    shared = _shared_processors(as_json, request_id)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = LineHandler(writer)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    processors = [remove, *_renderers(as_json), _mask_secrets]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors)
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("alembic", "httpx2"):  # what they tell has no meaning for operators
        logging.getLogger(name).setLevel(logging.WARNING)
    informative = logging.getLogger().isEnabledFor(logging.INFO)
    return LogOutput(writer, as_json, informative)


def _shared_processors(as_json: bool, request_id: Callable[[], str | None]) -> list[Any]:
    """Return what is done first to the lines of the service and to those of its libraries."""

    def add_request_id(
        _: object, __: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if id_ := request_id():
            event["request_id"] = id_
        return event

    time = structlog.processors.TimeStamper(fmt="iso", utc=True)
    traceback = [structlog.processors.format_exc_info] if as_json else []
    return [structlog.stdlib.add_log_level, add_request_id, time, *traceback]


class LineHandler(logging.Handler):
    """Writes each record immediately, behind the lines that are waiting."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.add(self.format(record) + "\n")
        except Exception:  # as in the standard library's handlers: logging never ends a request
            self.handleError(record)
        self._writer.flush()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _describe_lost_in(as_json: bool) -> Callable[[int], str]:
    def describe(lost: int) -> str:
        at = timestamp(datetime.now(UTC))
        if as_json:
            lines = {"lines": lost, "event": "log_lines_lost", "level": "warning", "timestamp": at}
            return json.dumps(lines) + "\n"
        return f"{at} [warning  ] log_lines_lost                 lines={lost}\n"

    return describe


def timestamp(at: datetime) -> str:
    """Return a time in UTC as all lines have it."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _renderers(as_json: bool) -> list[Any]:
    if as_json:
        return [structlog.processors.JSONRenderer()]  # JSON escapes control characters by itself
    console = structlog.dev.ConsoleRenderer(
        colors=_is_terminal(), exception_formatter=_write_traceback
    )
    return [_escape_values, console]


def mask(text: str) -> str:
    """Return `text` without the secrets of API keys."""
    return SECRET.sub(r"\1…", text)


def _mask_secrets(_: Any, __: str, line: Any) -> str:
    return mask(line)


def _escape_values(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what could forge a line or control a terminal: values may hold a client's bytes."""
    return {key: escape(value) if isinstance(value, str) else value for key, value in event.items()}


def escape(text: str, allowed: str = "") -> str:
    """Return `text` with every character escaped that is neither printable nor in `allowed`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in allowed else ascii(character)[1:-1]
        for character in text
    )


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a traceback without the values of variables, which may be a client's data."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write(escape(written.getvalue(), allowed="\n"))
