"""A host without work asks the database about once a second."""

import time
from contextlib import closing
from pathlib import Path

from service.dispatchers import Dispatchers
from service.storage import Storage
from tests.support.live_service import settings
from tests.support.postgresql_server import PostgresServer
from tests.support.server_process import eventually

SECONDS = 4
TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


def test_an_idle_host_that_leads_hardly_asks_the_database(
    tmp_path: Path,
    datasets_dir: Path,
    postgres: PostgresServer,
    postgres_database: str,
    postgres_url: str,
) -> None:
    (tmp_path / "shared").mkdir()
    given = {"database_url": postgres_url, "artifacts_url": str(tmp_path / "shared")}
    chosen = settings(tmp_path, datasets_dir, **given).model_copy(update={"concurrent_jobs": 1})
    storage = Storage(chosen)
    dispatchers = Dispatchers(chosen, storage)
    with closing(storage.database):
        dispatchers.start(lambda: None)

        def asked() -> int:
            """Return how many transactions there were in some seconds."""
            before = postgres.execute(TRANSACTIONS, postgres_database)[0][0]
            time.sleep(SECONDS)
            return int(postgres.execute(TRANSACTIONS, postgres_database)[0][0] - before)

        try:  # a vacuum of PostgreSQL counts too, and so does the start of the host
            eventually(lambda: 0 < asked() <= 2 * SECONDS, "a host that hardly asks")
        finally:
            dispatchers.stop()
            dispatchers.join()
