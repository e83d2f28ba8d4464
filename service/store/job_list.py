"""Builds the statement that lists jobs, the one query that depends on its filters and its order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.domain.job_state import State
from service.store.sql.values import Row
from service.store.stored_job import JOB_COLUMNS


@dataclass(frozen=True)
class Order:
    """An order of jobs: by a column, and jobs that have the same there by their numbers."""

    column: str
    descending: bool
    place: Callable[[Row], Any]
    """Returns what the column holds, of a job's number, title and best accuracy."""
    indexed: str = ""
    """The same order in SQL in words that an index knows, if there is one."""

    @property
    def by(self) -> str:
        """The order in SQL."""
        if self.indexed:
            return self.indexed
        direction = "DESC" if self.descending else "ASC"
        columns = dict.fromkeys((self.column, "number"))
        return ", ".join(f"{column} {direction}" for column in columns)

    @property
    def beyond(self) -> str:
        """The condition in SQL for a job behind the one at `:place` with the number `:below`."""
        sign = "<" if self.descending else ">"
        if self.column == "number":
            return f"number {sign} :below"
        return f"({self.column}, number) {sign} (:place, :below)"


def _by_accuracy(unmeasured: int, *, descending: bool, indexed: str = "") -> Order:
    """Return an order by the best test accuracy; a job without one counts as `unmeasured`."""

    def place(row: Row) -> float:
        return unmeasured if row["best_accuracy"] is None else float(row["best_accuracy"])

    return Order(f"coalesce(best_accuracy, {unmeasured})", descending, place, indexed)


ORDERS: Mapping[str, Order] = {
    "-created": Order("number", descending=True, place=lambda row: row["number"]),
    "created": Order("number", descending=False, place=lambda row: row["number"]),
    # Jobs without an accuracy come last either way: all accuracies are between these two.
    "-best": _by_accuracy(
        -1, descending=True, indexed="best_accuracy DESC NULLS LAST, number DESC"
    ),
    "best": _by_accuracy(2, descending=False, indexed="best_accuracy ASC NULLS LAST, number ASC"),
    "name": Order("title", descending=False, place=lambda row: row["title"]),
    "-name": Order("title", descending=True, place=lambda row: row["title"]),
}


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list holds, and in which order."""

    states: tuple[State, ...] = ()
    """The states of the jobs; empty for all."""
    words: tuple[str, ...] = ()
    """Each of them must occur in the job's labels or its state."""
    tags: tuple[str, ...] = ()
    """Each of them must be one of the job's tags."""
    order: str = "-created"
    """One of ORDERS."""
    patterns: dict[str, str] = field(init=False)
    """The parameters of the statement, by name."""

    def __post_init__(self) -> None:
        words = {f"word_{n}": f"%{escaped(word)}%" for n, word in enumerate(self.words)}
        tags = {f"tag_{n}": f"%\t{escaped(tag)}\t%" for n, tag in enumerate(self.tags)}
        object.__setattr__(self, "patterns", words | tags)


ALL_JOBS = JobFilter()


def labels_of(id_: str, spec: Mapping[str, Any], network: str) -> dict[str, str]:
    """Return the columns by which a job is found and sorted: its title, and all its labels.

    Names have no control characters, so a tab ends a tag and a line ends any other label.
    """
    name, preset = spec.get("name", ""), spec.get("preset") or ""
    title = name or preset or id_
    labels = [name, id_, network, spec.get("activation", "relu"), preset]
    tags = "".join(f"\t{tag}\t" for tag in spec.get("tags", ()))
    return {"title": title.casefold(), "search": "\n".join([*labels, tags]).casefold()}


def network_of(search: str) -> str:
    """Return the network that a job's labels name, as `labels_of` wrote it."""
    return search.split("\n")[2]


def escaped(text: str) -> str:
    """Return a text as it stands in a pattern of LIKE."""
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return text.casefold()


def jobs_statement(
    wanted: JobFilter = ALL_JOBS, *, beyond: bool, own: bool, each_state: bool = False
) -> str:
    """Return the statement that selects up to `:limit` jobs.

    Args:
        wanted: which jobs, in which order; its patterns are parameters.
        beyond: only jobs behind the one at `:place` with the number `:below`.
        own: only jobs of `:owner`.
        each_state: whether the database sorts by indexes that begin with the state.

    """
    order = ORDERS[wanted.order]
    always = ["owner = :owner"] if own else []
    always += [order.beyond] if beyond else []
    always += [
        f"(search LIKE :{name} ESCAPE '\\' OR state LIKE :{name} ESCAPE '\\')"
        if name.startswith("word")
        else f"search LIKE :{name} ESCAPE '\\'"
        for name in wanted.patterns
    ]
    states = wanted.states
    if not states and each_state and order.column != "number" and not wanted.patterns:
        states = tuple(State)
    numbers = _numbers(states, always, order)
    found = f"SELECT {JOB_COLUMNS} FROM jobs WHERE number IN ({numbers})"  # noqa: S608  our own names
    return f"{found} ORDER BY {order.by} LIMIT :limit"


def _numbers(states: Iterable[State], always: list[str], order: Order) -> str:
    """Return the statement that selects the numbers of the first jobs in each state.

    Each state is looked up by itself: its newest jobs are the end of its part of the index, while
    those of several states together would have to be sorted, or searched for among all jobs.
    """
    of_states = [[f"state = '{state}'"] for state in dict.fromkeys(states)] or [[]]
    pages = [_first_numbers([*of_state, *always], order) for of_state in of_states]
    return " UNION ALL ".join(f"SELECT number FROM ({page}) AS found" for page in pages)  # noqa: S608


def _first_numbers(conditions: list[str], order: Order) -> str:
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"SELECT number FROM jobs {where}ORDER BY {order.by} LIMIT :limit"  # noqa: S608
