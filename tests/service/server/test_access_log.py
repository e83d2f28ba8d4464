"""Tests which requests have a line in the access log."""

import logging

import pytest

from service.server.access_log import is_worth_logging

PREDICT = "/v1/models/latest/predict"


def line(path: str, status: int) -> logging.LogRecord:
    """Return the record of an access line, as uvicorn makes it."""
    arguments = ("127.0.0.1:1", "POST", path, "1.1", status)
    text = '%s - "%s %s HTTP/%s" %d'
    return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, text, arguments, None)


@pytest.mark.parametrize("path", [PREDICT, f"{PREDICT}?normalize=always", f"{PREDICT}.npy"])
def test_a_refused_prediction_has_no_line(path: str) -> None:
    assert not is_worth_logging(line(path, 503))


@pytest.mark.parametrize(
    ("path", "status"), [(PREDICT, 200), (PREDICT, 422), ("/v1/jobs", 503), (f"/?x={PREDICT}", 503)]
)
def test_every_other_request_has_a_line(path: str, status: int) -> None:
    assert is_worth_logging(line(path, status))


def test_other_lines_are_kept() -> None:
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "503", None, None)
    assert is_worth_logging(record)
