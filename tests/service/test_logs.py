"""The format of log lines."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, Literal

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
    form: Literal["console", "json"], request_id: Callable[[], str | None] = lambda: None
) -> Iterator[Callable[[], str]]:
    """Configure logs in this form; yield what returns the lines written so far."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    with redirect_stderr(stream):
        logs.configure("info", form, request_id)
    try:
        yield stream.getvalue
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@FORMS
@pytest.mark.parametrize("said", SAID)
def test_a_line_of_a_library_is_one_line_without_secrets(
    form: Literal["console", "json"], said: str
) -> None:
    with configured(form) as written:
        logging.getLogger("library").warning("%s", said)
    [line] = written().splitlines()
    assert line.isprintable()
    assert KEY not in line
    if form == "json":
        entry = json.loads(line)
        assert (entry["level"], set(entry)) == ("warning", {"event", "level", "timestamp"})
        assert entry["event"] == said.replace("s" * 43, "…")


@FORMS
@pytest.mark.parametrize("log", [structlog.get_logger, logging.getLogger])
def test_a_line_has_the_id_of_the_request_that_is_being_answered(
    form: Literal["console", "json"], log: Callable[[], Any]
) -> None:
    ids = iter(["the-id", None])
    with configured(form, lambda: next(ids)) as written:
        log().warning("during")
        log().warning("after")
    during, after = written().splitlines()
    assert "the-id" in during
    assert "request_id" in during
    assert "request_id" not in after


@FORMS
def test_a_traceback_of_a_library_is_written(form: Literal["console", "json"]) -> None:
    with configured(form) as written:
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("library").exception("it failed")
    assert "it failed" in written()
    assert "Traceback" in written()
    if form == "json":
        assert json.loads(written())["level"] == "error"
