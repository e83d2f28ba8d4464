"""Builds the statement that lists jobs, the one query that depends on its filters."""

from collections.abc import Iterable

from service.domain.job_state import State
from service.store.stored_job import JOB_COLUMNS


def newest_jobs(states: Iterable[State] = (), *, below: bool, own: bool) -> str:
    """Return the statement that selects up to `:limit` jobs, newest first.

    Each state is looked up by itself: its newest jobs are the end of its part of the index, while
    those of several states together would have to be sorted, or searched for among all jobs.

    Args:
        states: only jobs in these; without any, jobs in all states.
        below: only jobs with numbers below `:below`.
        own: only jobs of `:owner`.

    """
    always = [*(["owner = :owner"] if own else []), *(["number < :below"] if below else [])]
    of_states = [[f"state = '{state}'"] for state in dict.fromkeys(states)] or [[]]
    pages = [_newest_numbers([*of_state, *always]) for of_state in of_states]
    numbers = " UNION ALL ".join(f"SELECT number FROM ({page}) AS newest" for page in pages)  # noqa: S608
    found = f"SELECT {JOB_COLUMNS} FROM jobs WHERE number IN ({numbers})"  # noqa: S608  our own names
    return f"{found} ORDER BY number DESC LIMIT :limit"


def _newest_numbers(conditions: list[str]) -> str:
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"SELECT number FROM jobs {where}ORDER BY number DESC LIMIT :limit"  # noqa: S608
