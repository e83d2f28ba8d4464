"""What the programs of all workers share: their arguments, their log and their exit codes."""

import logging
import sys
from collections.abc import Callable

from service.domain.errors import Replaced, StoreBroken
from service.work.exit_codes import REPLACED_EXIT, STORE_EXIT


def run_attempt(work: Callable[[str, int], str], logger: logging.Logger) -> int:
    """Do the work that the command line names, and return the exit code of the process.

    Args:
        work: called with the id of a row and the number of its attempt; returns the state that the
            row is left in.
        logger: of the worker.

    """
    row, _, number = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        state = work(row, int(number))
    except Replaced as exc:
        logger.warning("%s", exc)
        return REPLACED_EXIT
    except StoreBroken as exc:
        logger.error("%s", exc)
        return STORE_EXIT
    logger.info("%s is now %s", row, state)
    return 0
