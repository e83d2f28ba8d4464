"""Every statement exists once, as SQL that SQLite and PostgreSQL both take."""

import ast
import asyncio
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from mlp_client.job_state import State
from service.domain.model_ref import model_ref
from service.store import (
    api_keys,
    attempts,
    backup,
    check_attempts,
    checkpoints,
    damaged_datasets,
    dataset_backup,
    dataset_queue,
    dataset_rows,
    dataset_view,
    datasets,
    deletion,
    epoch_arrays,
    evaluation_attempts,
    evaluation_queue,
    evaluation_rows,
    evaluation_tasks,
    event_log,
    idempotency,
    identity,
    job_counts,
    job_list,
    jobs,
    kept_evaluations,
    moving,
    queue,
    snapshots,
    temperatures,
    training_activity,
    transitions,
    worker_handles,
)
from service.store.jobs import JobStore
from service.store.sql import migrate
from service.store.sql.database import Database
from tests.support.engines import only_sqlite
from tests.support.job_records import query, succeed

MODULES = (
    api_keys, attempts, backup, check_attempts, checkpoints, damaged_datasets, dataset_backup,
    dataset_queue,
    dataset_rows, dataset_view, datasets, deletion, epoch_arrays, evaluation_attempts,
    evaluation_queue,
    evaluation_rows, evaluation_tasks, event_log, idempotency, identity, job_counts, jobs,
    kept_evaluations, moving, queue, snapshots, temperatures, training_activity, transitions,
    migrate, worker_handles,
)  # fmt: skip
VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
BUILT = {
    f"list of {len(states)} states, {order}, {len(words)} words, beyond={beyond}, own={own}": (
        job_list.jobs_statement(
            job_list.JobFilter(states, words, words, order), beyond=beyond, own=own
        )
    )
    for states in ((), tuple(State))
    for order in job_list.ORDERS
    for words in ((), ("a", "b"))
    for beyond in (False, True)
    for own in (False, True)
}
STATEMENTS = {
    f"{module.__name__}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, str) and VERB.match(value)
}
SQLITE_ALONE = re.compile(
    r"\b(PRAGMA|INSERT OR|REPLACE|GLOB|ROWID|json_\w+|datetime\(|julianday|strftime|ifnull|"
    r"IS NOT :|IS :|VACUUM|sqlite_\w+)",
    re.IGNORECASE,
)
NOT_OF_ONE_OWNER = {"INSERT", "COUNT_AHEAD", "COUNT_QUEUED", "EPOCHS", "EVENTS"}
"""Statements of `jobs.py` about a new job, about a row that was found or locked before by a
statement that is narrowed, or about the place in everyone's queue."""


def test_there_are_statements() -> None:
    assert len(STATEMENTS) > 30


@pytest.mark.parametrize("statement", [*STATEMENTS.values(), *BUILT.values()])
def test_a_statement_is_one_that_other_engines_take_too(statement: str) -> None:
    """Another driver's parameters are written by replacing `:name` in the text."""
    literals = re.findall(r"'[^']*'", statement)
    assert not [literal for literal in literals if ":" in literal]
    assert "%" not in statement
    assert "?" not in statement
    assert not SQLITE_ALONE.search(statement)
    assert not re.search(r"::|:\W|:\d", statement), "a colon begins a parameter and nothing else"


def test_no_statement_exists_twice() -> None:
    texts = {name: " ".join(statement.split()) for name, statement in STATEMENTS.items()}
    assert [text for text, count in Counter(texts.values()).items() if count > 1] == []


@pytest.mark.parametrize("module", MODULES)
def test_statements_are_constants_at_the_top_of_a_file(module: ModuleType) -> None:
    """This file finds them all there; only `job_list` and `transitions` build others."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    texts = [
        node.value
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if VERB.match(text) and "FROM" in text]


def test_every_statement_of_clients_about_jobs_is_narrowed_to_an_owner() -> None:
    named = {name for name in STATEMENTS if name.startswith("service.store.jobs.")}
    open_ = {name.rpartition(".")[2] for name in named if "{own}" not in STATEMENTS[name]}
    assert open_ == NOT_OF_ONE_OWNER


def test_every_statement_of_clients_about_data_sets_is_narrowed_to_an_owner() -> None:
    modules = ("service.store.datasets.", "service.store.dataset_view.")
    named = {name: text for name, text in STATEMENTS.items() if name.startswith(modules)}
    narrowed = (":owner", "{own}")
    not_narrowed = {
        name.rpartition(".")[2]
        for name, text in named.items()
        if not any(word in text for word in narrowed)
    }
    assert not_narrowed == {"LOCK", "LOCK_ID", "REPORT"}, "these have found the row before"


def test_every_statement_of_clients_about_evaluations_is_narrowed_to_an_owner() -> None:
    named = {name for name in STATEMENTS if name.startswith("service.store.evaluation_tasks.")}
    open_ = {name.rpartition(".")[2] for name in named if "{own}" not in STATEMENTS[name]}
    assert open_ == {"INSERT", "FIND_KEY", "OTHERS"}, "about a job that has been found before"


def test_only_one_method_executes_statements_that_are_narrowed() -> None:
    """Any other way would have to remember the owner."""
    tree = ast.parse(Path(str(jobs.__file__)).read_text())
    [store] = [node for node in tree.body if getattr(node, "name", "") == "JobStore"]
    direct = {
        ast.unparse(call.args[0])
        for call in ast.walk(store)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).startswith("transaction.")
        and ast.unparse(call.func) != "transaction.notify"
        and not ast.unparse(call).startswith("transaction.rows(statement, owner=self._owner")
    }
    assert direct == {"COUNT_QUEUED", "EPOCHS", "EVENTS"}


QUICK = [
    jobs.NEWEST_KEY, jobs.NEWEST_KEY_OF_LATEST, jobs.SNAPSHOT_KEY, jobs.SNAPSHOT_KEY_OF_LATEST,
    jobs.BEST_KEY, jobs.BEST_KEY_OF_LATEST, jobs.ID,
]  # fmt: skip


@only_sqlite
@pytest.mark.parametrize("queue", [dataset_queue, evaluation_queue])
def test_claims_in_turn_read_only_rows_that_wait(database: Database, queue: ModuleType) -> None:
    """So they take no longer however many rows have ended, and however many jobs there are."""
    for statement in (queue.OLDEST_OF_OWNERS, queue.CLAIM):
        excluded = statement.replace("{waiting}", " AND id NOT IN (:waiting)")
        plan = query(database, f"EXPLAIN QUERY PLAN {excluded}", waiting="x", number=1, host="h")
        steps = [row[-1] for row in plan]
        assert not [step for step in steps if step.startswith("SCAN")], steps
        assert [step for step in steps if step.startswith("SEARCH")]


@only_sqlite
def test_the_metrics_count_only_evaluations_that_have_not_ended(database: Database) -> None:
    plan = query(database, f"EXPLAIN QUERY PLAN {evaluation_queue.COUNT_UNFINISHED}")
    steps = [row[-1] for row in plan]
    assert [step for step in steps if step.startswith("SEARCH")]
    assert not [step for step in steps if step.startswith("SCAN")], steps


@only_sqlite
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("statement", QUICK)
def test_a_quick_look_up_looks_at_no_row_but_the_one_meant(
    database: Database, statement: str, own: bool
) -> None:
    narrowed = statement.replace("{own}", " AND owner = :owner" if own else "")
    plan = query(database, f"EXPLAIN QUERY PLAN {narrowed}", id="job_1", owner="ada", epoch=3)
    steps = [row[-1] for row in plan]
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP"))], steps


@pytest.mark.parametrize(
    ("owner", "everything", "found"),
    [("ada", False, True), ("eve", False, False), (None, False, False), ("eve", True, True)],
)
def test_a_quick_look_up_finds_only_what_the_owner_may_see(
    database: Database, jobs: JobStore, owner: str | None, everything: bool, found: bool
) -> None:
    job = succeed(database)
    query(database, "UPDATE jobs SET owner = 'ada'")
    view = jobs.seen_by(owner, everything=everything)
    refs = [model_ref(ref) for ref in (job, "latest", "job_2")]

    async def find() -> list[str | None]:
        for _ in range(1000):  # a server is connected to first
            if await jobs.find_network_key(refs[0]):
                break
            await asyncio.sleep(0.01)
        return [await view.find_network_key(ref) for ref in refs]

    key = f"{job}/1/1-0.safetensors" if found else None
    assert asyncio.run(find()) == [key, key, None]
    at_once = [key, key, None] if jobs.finds_at_once else [None] * 3
    assert [view.network_key(ref) for ref in refs] == at_once
