"""PostgreSQL: addresses, sessions, and many who write at the same time."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg2
import pytest
from alembic import command

from mlp_client.job_state import State
from service.domain.errors import StoreBroken
from service.store.attempts import SUCCEEDED, Attempt
from service.store.event_log import EventLog
from service.store.jobs import JobStore
from service.store.queue import Claim, Queue
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of, is_there
from service.store.sql.migrate import REVISIONS, migrate, migrations
from service.store.sql.transaction import Transaction
from tests.conftest import submission, submit
from tests.support.job_records import DONE, ENVIRONMENT, HANDLE, query
from tests.support.postgresql_server import PostgresServer, postgres_server
from tests.support.server_process import eventually, free_port

PEOPLE = 8
WAITS_FOR_HOSTS = "SELECT 1 FROM pg_locks WHERE relation = 'hosts'::regclass AND NOT granted"
T = TypeVar("T")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


def at_once(work: Callable[[int], T], times: int = PEOPLE) -> list[T]:
    """Do some work in threads that begin at the same moment; return what each returns."""
    ready = threading.Barrier(times)

    def begin(number: int) -> T:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(begin, range(times)))


# --- Addresses ---


@pytest.mark.parametrize("end", ["h/d?no=1", "[::1/d"])
def test_an_address_that_cannot_be_read_is_refused_and_not_shown(end: str) -> None:
    with pytest.raises(StoreBroken, match=r"URL can't be read.*postgresql://mlp@") as it:
        engine_of(f"postgresql://me:secret@{end}")
    assert "secret" not in str(it.value)


def test_a_server_that_does_not_answer_is_broken() -> None:
    database = Database("postgresql://127.0.0.1:9/mlp")
    with closing(database), pytest.raises(StoreBroken, match=r"the database failed: .*refused"):
        JobStore(database).counts()


def test_addresses_of_sqlalchemy_are_taken_as_well(database_url: str) -> None:
    for scheme in ("postgres:", "postgresql+psycopg2:", "postgresql+psycopg:"):
        assert is_there(database_url.replace("postgresql:", scheme))


def test_a_database_without_tables_is_not_there(postgres: PostgresServer) -> None:
    assert not is_there(postgres.url(postgres.create()))


def test_of_servers_that_start_together_one_makes_the_tables(postgres: PostgresServer) -> None:
    url = postgres.url(postgres.create())
    program = "import sys; from service.store.sql.migrate import migrate; migrate(sys.argv[1])"
    running = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert is_there(url)


def test_a_migration_that_is_ended_by_a_deadlock_is_tried_again(postgres: PostgresServer) -> None:
    """It locks jobs, then hosts; a server that reads both locks them the other way round."""
    name = postgres.create()
    command.upgrade(migrations(postgres.url(name)), "0017")
    with closing(psycopg2.connect(postgres.url(name))) as server, ThreadPoolExecutor(1) as pool:
        cursor = server.cursor()
        cursor.execute("SET deadlock_timeout = '1h'")  # the other one finds that they wait for ever
        cursor.execute("SELECT * FROM hosts")
        migrating = pool.submit(migrate, postgres.url(name))
        eventually(lambda: postgres.execute(WAITS_FOR_HOSTS, name), "the migration to wait")
        cursor.execute("SELECT * FROM jobs")
        assert cursor.fetchall() == []
        server.rollback()
        assert migrating.result(60) == REVISIONS[REVISIONS.index("0018") :]


def test_a_worker_that_uses_it_does_not_import_sqlalchemy() -> None:
    program = "import sys, service.store.sql.postgresql; print('sqlalchemy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"False"


# --- Sessions ---


def test_times_are_those_of_utc_wherever_the_server_is(
    postgres: PostgresServer, postgres_database: str, database: Database
) -> None:
    postgres.execute(f"ALTER DATABASE {postgres_database} SET timezone TO 'Asia/Tokyo'")
    try:
        with closing(Database(database.url)) as far:
            job = JobStore(far).get(submit(JobStore(far)))
    finally:
        postgres.execute(f"ALTER DATABASE {postgres_database} RESET timezone")
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_options_of_an_address_are_added_to_ours(database_url: str) -> None:
    address = f"{database_url}?options=-c%20work_mem%3D5MB"
    with closing(Database(address)) as database, database.read() as transaction:
        found = {name: transaction.row(f"SHOW {name}") for name in ("work_mem", "timezone")}
    assert found == {"work_mem": {"work_mem": "5MB"}, "timezone": {"TimeZone": "UTC"}}


def test_a_row_that_another_holds_is_waited_for_with_patience(
    database: Database, database_url: str
) -> None:
    job = submit(JobStore(database))
    with closing(Database(database_url, patience=0.05)) as hasty:
        with database.write() as transaction:
            transaction.execute("UPDATE jobs SET heartbeat = 1 WHERE id = :id", id=job)
            with pytest.raises(StoreBroken, match="lock timeout"):
                JobStore(hasty).act("pause", job)
            submit(JobStore(hasty))  # other rows are free
        assert JobStore(hasty).act("pause", job).state == State.PAUSED


def test_a_process_that_freezes_in_a_transaction_loses_its_row(database_url: str) -> None:
    brief = f"{database_url}?options=-c%20idle_in_transaction_session_timeout%3D300"
    with closing(Database(brief)) as database:
        job = submit(JobStore(database))

        def freeze() -> None:
            with database.write() as transaction:
                transaction.execute("UPDATE jobs SET heartbeat = 7 WHERE id = :id", id=job)
                time.sleep(1)

        with pytest.raises(StoreBroken, match="the database failed"):
            freeze()
        assert JobStore(database).act("pause", job).state == State.PAUSED
        assert query(database, "SELECT heartbeat FROM jobs") == [(0,)]


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may end."""
    with postgres_server(fsync="off") as server:
        yield server


def test_connections_to_a_server_that_was_restarted_are_opened_again(
    own_server: PostgresServer,
) -> None:
    url = own_server.url(own_server.create())
    migrate(url)
    with closing(Database(url)) as database, closing(DriverConnector(engine_of(url))) as driver:
        jobs = JobStore(database)
        at_once(lambda _: jobs.counts())  # so that the pool has several connections
        Queue(driver).active()
        own_server.kill()
        with pytest.raises(StoreBroken):
            submit(jobs)
        with pytest.raises(StoreBroken):
            Queue(driver).active()
        own_server.start()
        for _ in range(PEOPLE):
            submit(jobs)
        assert Queue(driver).active() == []


# --- Writing at once ---


def test_one_of_several_equal_submissions_makes_the_job(database: Database) -> None:
    jobs = JobStore(database)
    found = at_once(lambda _: submission(jobs, key="k", body=b"same"))
    assert len({it.job for it in found}) == 1
    assert sorted(it.replayed for it in found) == [False] + [True] * (PEOPLE - 1)


def test_each_job_is_claimed_once(database: Database) -> None:
    wanted = [submit(JobStore(database)) for _ in range(3 * PEOPLE)]
    found = at_once(lambda _: [Queue(database).claim() for _ in range(3)])
    claimed = [claim.job for claims in found for claim in claims if claim]
    assert sorted(claimed) == sorted(wanted)


def test_jobs_that_end_together_have_an_order(database: Database) -> None:
    for _ in range(3 * PEOPLE):
        submit(JobStore(database))

    def finish(_: int) -> None:
        for _ in range(3):
            claim = Queue(database).claim()
            assert isinstance(claim, Claim)
            attempt = Attempt(database, claim.job, claim.attempt)
            attempt.begin(HANDLE, ENVIRONMENT)
            attempt.end(SUCCEEDED, DONE)

    at_once(finish)
    numbers = query(database, "SELECT finish_number FROM jobs ORDER BY finish_number")
    assert [number for [number] in numbers] == list(range(1, 3 * PEOPLE + 1))


def test_a_reader_finds_no_new_event_below_one_that_it_has_seen(database: Database) -> None:
    """Each writer takes a number and commits later; without the order, numbers overtake others."""
    jobs, seen, log = JobStore(database), [0], EventLog(database)
    done = threading.Event()

    def follow() -> None:
        while not done.is_set():
            seen.extend(it.seq for it in log.between(seen[-1], 2**40, 1000).events)

    reader = threading.Thread(target=follow)
    reader.start()
    at_once(lambda _: [jobs.act("pause", submit(jobs)) for _ in range(15)])
    done.set()
    reader.join()
    seen.extend(it.seq for it in log.between(seen[-1], 2**40, 1000).events)
    everything = [it.seq for it in log.between(0, 2**40, 1000).events]
    assert seen[1:] == everything
    assert len(everything) == 2 * 15 * PEOPLE


def test_a_client_that_freezes_at_its_commit_does_not_stop_the_events_of_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is done while others wait for their place is sent in one message."""
    jobs, began = JobStore(database), threading.Event()
    commit = Transaction.commit

    def slow(transaction: Transaction) -> None:
        if threading.current_thread().name == "frozen":
            began.set()
            time.sleep(1)
        commit(transaction)

    monkeypatch.setattr(Transaction, "commit", slow)
    frozen = threading.Thread(target=submit, args=(jobs,), name="frozen")
    frozen.start()
    began.wait()
    begun = time.monotonic()
    submit(jobs)
    assert time.monotonic() - begun < 0.5
    frozen.join()


def test_two_that_delete_the_same_job_delete_it_once(database: Database) -> None:
    jobs = JobStore(database)
    job = submit(jobs)
    outcomes = at_once(lambda _: outcome(lambda: jobs.delete(job)))
    assert sorted(outcomes) == ["JobNotFound"] * (PEOPLE - 1) + ["done"]
    assert query(database, "SELECT id FROM deleted_jobs") == [(job,)]


def outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as exc:
        return type(exc).__name__
    return "done"


def test_racing_actions_are_refused_only_by_the_state_that_they_find(database: Database) -> None:
    jobs = JobStore(database)
    job = submit(jobs)
    for _ in range(10):
        outcomes = at_once(lambda n: outcome(lambda: jobs.act(("pause", "resume")[n % 2], job)))
        assert set(outcomes) == {"done"}


def test_an_error_of_the_server_is_one_line(database: Database) -> None:
    why = r"^the database failed: .*no_table"
    with pytest.raises(StoreBroken, match=why) as it, database.read() as transaction:
        transaction.rows("SELECT 1 FROM no_table")
    assert "\n" not in str(it.value)


def test_the_driver_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.store.sql.postgresql", None)
    with pytest.raises(StoreBroken, match=r"not installed; install mlp-service\[cluster\]"):
        engine_of("postgresql://db/mlp")


def test_a_standby_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "service.store.sql.postgresql.VERSION", "SELECT '180000' AS version, TRUE AS standby"
    )
    with pytest.raises(StoreBroken, match=r"is a standby.*target_session_attrs"):
        migrate(database.url)


def test_an_old_server_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "service.store.sql.postgresql.VERSION", "SELECT '130011' AS version, FALSE AS standby"
    )
    with pytest.raises(StoreBroken, match=r"needs PostgreSQL 14 or newer.*13"):
        migrate(database.url)


def test_a_transaction_that_takes_any_time_has_no_limits(database: Database) -> None:
    show = """
    SELECT current_setting('lock_timeout') AS locks,
        current_setting('idle_in_transaction_session_timeout') AS pauses
    """
    with database.write() as transaction:
        transaction.take_any_time()
        assert transaction.row(show) == {"locks": "0", "pauses": "0"}
    with database.write() as transaction:
        assert transaction.row(show) == {"locks": "30s", "pauses": "10s"}


@pytest.mark.parametrize("host", ["127.0.0.1", "database.internal.invalid"])
def test_what_clients_read_does_not_name_the_server(host: str) -> None:
    with pytest.raises(StoreBroken, match="the server can't be reached: ") as refused:
        Database(f"postgresql://mlp:secret@{host}:{free_port()}/mlp").read().__enter__()
    assert host not in str(refused.value)
