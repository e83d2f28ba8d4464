"""The short path for plain log lines writes the same text as structlog's processors."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Literal

import pytest
import structlog

from service import logs

KEY = f"mlp_abcdefgh_{'s' * 43}"
SAID = [
    '127.0.0.1:1 - "GET /v1/jobs?a=b%20c HTTP/1.1" 200',
    "short",
    'forged\n2026-01-01T00:00:00Z [info     ] line \x1b[31m \N{RIGHT-TO-LEFT OVERRIDE} "quoted"',
    f"GET /livez?key={KEY}",
    "ä€\N{GRINNING FACE}",
]


FORMS = pytest.mark.parametrize("form", ["console", "json"])


@contextmanager
def configured(
    form: Literal["console", "json"],
) -> Iterator[tuple[logging.Handler, Callable[[], str]]]:
    """Configure logs in this form; yield their handler, and what it writes."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    with redirect_stderr(stream):
        logs.configure("info", form)
    try:
        yield root.handlers[0], stream.getvalue
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def without_time(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", "TIME", line)


@FORMS
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.CRITICAL])
def test_the_short_path_writes_the_same_line_as_structlog(
    form: Literal["console", "json"], said: str, level: int
) -> None:
    record = logging.LogRecord("uvicorn.access", level, "", 0, "%s", (said,), None)
    with configured(form) as (handler, _):
        formatter = handler.formatter
        assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
        short = formatter.format(record)
        long = structlog.stdlib.ProcessorFormatter.format(formatter, record)
    assert without_time(short) == without_time(long)
    assert "TIME" in without_time(short)
    assert KEY not in short


@FORMS
def test_a_traceback_of_a_library_is_written(form: Literal["console", "json"]) -> None:
    with configured(form) as (_, written):
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("library").exception("it failed")
    assert "it failed" in written()
    assert "Traceback" in written()
    if form == "json":
        assert json.loads(written())["level"] == "error"
