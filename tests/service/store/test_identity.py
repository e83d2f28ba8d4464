"""Servers that share a database have one identity, and two services have different ones."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from service.store.identity import SECRET_BYTES, FolderIdentity, identity_of
from service.store.instance import FORM
from service.store.sql.copying import copy_database
from service.store.sql.database import Database
from service.store.sql.sqlite import sqlite_url
from tests.support.job_records import query


def test_servers_of_one_database_find_the_same_identity(postgres_url: str, tmp_path: Path) -> None:
    with closing(Database(postgres_url)) as one, closing(Database(postgres_url)) as other:
        first, second = identity_of(one, tmp_path / "one"), identity_of(other, tmp_path / "other")
        assert FORM.fullmatch(first.instance)
        assert len(first.session_secret) == SECRET_BYTES
        assert second.instance == first.instance
        assert second.session_secret == first.session_secret
    assert list(tmp_path.iterdir()) == []


def test_servers_that_start_together_agree(postgres_url: str, tmp_path: Path) -> None:
    def secret(_: int) -> bytes:
        with closing(Database(postgres_url)) as database:
            return identity_of(database, tmp_path).session_secret

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(secret, range(8)))) == 1


def test_a_file_is_used_by_one_server_whose_identity_lies_beside_it(
    empty_database: Path, tmp_path: Path
) -> None:
    with closing(Database(sqlite_url(empty_database))) as database:
        found = identity_of(database, tmp_path)
        assert isinstance(found, FolderIdentity)
        assert found.instance == (tmp_path / "instance").read_text()
        assert found.session_secret == (tmp_path / "session.key").read_bytes()
        assert query(database, "SELECT count(*) FROM service_identity") == [(0,)]


def test_a_copy_of_the_database_is_another_service(postgres_url: str, tmp_path: Path) -> None:
    with closing(Database(postgres_url)) as database:
        assert identity_of(database, tmp_path).instance
        copy_database(database.engine, tmp_path / "copy.sqlite3")
    with closing(Database(sqlite_url(tmp_path / "copy.sqlite3"))) as copy:
        assert query(copy, "SELECT count(*) FROM service_identity") == [(0,)]
