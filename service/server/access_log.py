"""Which requests uvicorn's access log has a line for."""

import logging

from service.server.admission import PREDICT_SUFFIX


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
    path = str(arguments[2]).split("?")[0]
    return not path.endswith(PREDICT_SUFFIX)
