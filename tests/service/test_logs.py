"""The format of log lines, and what they must not contain."""

import io
import json
import logging
import subprocess
import sys
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


def test_console_logs_have_tracebacks_without_the_values_of_variables() -> None:
    code = (
        "import structlog; from service import logs; logs.configure('info', 'console')\n"
        "def f(secret):\n    raise ValueError('boom')\n"
        "try:\n    f('hunter' + '2')\n"
        "except ValueError:\n    structlog.get_logger('x').exception('it_broke')\n"
        "structlog.get_logger('x').debug('too small')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "it_broke" in done.stderr
    assert "ValueError: boom" in done.stderr
    assert "hunter2" not in done.stderr
    assert "too small" not in done.stderr


@pytest.mark.parametrize("form", ["console", "json"])
def test_logs_never_contain_the_secret_of_a_key(form: str) -> None:
    code = (
        "import sys, logging; from service import logs; logs.configure('info', sys.argv[1])\n"
        "key = 'mlp_abcdefghij_' + 'Zz-_' * 10 + 'end'\n"
        "logging.getLogger('lib').info('GET /?key=%s', key)\n"
        "try:\n    raise ValueError(key)\n"
        "except ValueError:\n    logging.getLogger('lib').exception(key)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, form], capture_output=True, text=True)
    assert done.stderr.count("mlp_abcdefghij_") == 3
    assert "Zz-_" not in done.stderr.replace("'Zz-_' * 10", "")


def test_a_log_that_is_not_a_terminal_is_json() -> None:
    code = (
        "import logging; from service import logs; logs.configure('warning', 'auto')\n"
        "logging.getLogger('lib').warning('n is %d', 3); logging.getLogger('lib').info('no')\n"
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n    logging.getLogger('lib').exception('it broke')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], first["level"]) == ("n is 3", "warning")
    assert "ZeroDivisionError" in second["exception"]
