"""Log lines for people (on a terminal) or machines (JSON), of this service and its libraries."""

import io
import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import ExcInfo

SECRET = re.compile(r"(mlp_[a-z0-9]{8,12}_)[A-Za-z0-9_-]{43}")
"""An API key, wherever a client may have put it: an address, say, is logged."""


def configure(level: str, form: Literal["auto", "console", "json"]) -> None:
    """Send everything that is logged to standard error, in one form."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=_traceback
        )
    )
    one_line: list[Any] = [] if as_json else [_one_line]  # JSON escapes what is in the way itself
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            as_json,
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *one_line,
                renderer,
                _without_secrets,
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Writes plain lines of libraries by itself: each request has one, and structlog's way to the
    same text takes as long as the rest of a short request.
    """

    def __init__(self, as_json: bool, **options: Any) -> None:
        super().__init__(**options)
        self._as_json = as_json
        self._in_colour = not as_json and sys.stderr.isatty()

    def format(self, record: logging.LogRecord) -> str:
        if self._in_colour or record.exc_info or isinstance(record.msg, dict):
            return super().format(record)
        said, level = record.getMessage(), record.levelname.lower()
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if self._as_json:
            line = f'{{"event": {json.dumps(said)}, "level": "{level}", "timestamp": "{at}"}}'
        else:
            line = f"{at} [{level:<9}] {_visible(said)}"
        return SECRET.sub(r"\1…", line)


def _without_secrets(_: Any, __: str, line: Any) -> str:
    return SECRET.sub(r"\1…", line)


def _one_line(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what could forge a line or talk to a terminal: texts may hold a client's bytes."""
    return {
        key: _visible(value) if isinstance(value, str) else value for key, value in event.items()
    }


def _visible(text: str, allowed: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in allowed else ascii(letter)[1:-1]
        for letter in text
    )


def _traceback(out: TextIO, error: ExcInfo) -> None:
    """Write a traceback without the values of variables: they may be a client's data."""
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    out.write(_visible(written.getvalue(), allowed="\n"))
