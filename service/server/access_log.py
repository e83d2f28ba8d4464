"""Decides which requests get a line in uvicorn's access log."""

import logging

from service.api.predict_route import is_prediction


def install() -> None:
    """Keep refused predictions out of the access log.

    A flood of them would fill the log, and a line takes longer than the refusal.
    """
    logging.getLogger("uvicorn.access").addFilter(is_worth_logging)


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for the access line of a refused prediction.

    uvicorn's arguments are the client, method, path with query, HTTP version and status.
    """
    arguments = record.args
    if not isinstance(arguments, tuple) or len(arguments) != 5 or arguments[-1] != 503:
        return True
    method, path = str(arguments[1]), str(arguments[2]).split("?")[0]
    return not is_prediction(method, path)
