"""Log lines for people (on a terminal) or machines (JSON), of this service and its libraries."""

import logging
import re
import sys
from typing import Any, Literal

import structlog

SECRET = re.compile(r"(mlp_[a-z0-9]{8,12}_)[A-Za-z0-9_-]{43}")
"""An API key, wherever a client may have put it: an address, say, is logged."""


def configure(level: str, form: Literal["auto", "console", "json"]) -> None:
    """Send everything that is logged to standard error, in one form."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        # A traceback without the values of variables: they may be a client's data.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
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
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
                _without_secrets,
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _without_secrets(_: Any, __: str, line: Any) -> str:
    return SECRET.sub(r"\1…", line)
