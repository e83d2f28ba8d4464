"""The identity of the service, which all servers of one database have in common.

Where only one server may use the database, it lies in the data directory. Otherwise a client's next
request may reach another server, so it lies in the database.
"""

import secrets
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from service.domain.errors import StoreBroken
from service.store.durable_files import create_once, store_error, write_atomic
from service.store.instance import FILE, instance_of, new_instance
from service.store.sql.connector import Connector

SECRET_FILE = "session.key"  # noqa: S105  a name
SECRET_BYTES = 32
OWNERS_ONLY = 0o600

# Of servers that start together, one writes the row, and all read it.
CREATE = """
INSERT INTO service_identity (number, instance, session_secret)
VALUES (1, :instance, :session_secret) ON CONFLICT (number) DO NOTHING
"""
REPLACE = """
INSERT INTO service_identity (number, instance, session_secret)
VALUES (1, :instance, :session_secret) ON CONFLICT (number) DO UPDATE
SET instance = :instance, session_secret = :session_secret
"""
FIND = "SELECT instance, session_secret FROM service_identity"


class Identity(Protocol):
    """What clients recognise the service by, and what vouches for its sessions."""

    @property
    def instance(self) -> str:
        """The identifier of the service, by which clients notice that they talk to another one.

        Raises:
            StoreBroken: it can't be read.

        """
        ...

    @property
    def session_secret(self) -> bytes:
        """The secret that vouches for the cookies of sessions.

        Raises:
            StoreBroken: it can't be read.

        """
        ...


def identity_of(database: Connector, data_dir: Path) -> Identity:
    """Return the identity of the service with this database and this data directory."""
    return FolderIdentity(data_dir) if database.file else SharedIdentity(database)


class FolderIdentity:
    """Implements `Identity` with files of the data directory; each is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def instance(self) -> str:
        return instance_of(self._directory)

    @cached_property
    def session_secret(self) -> bytes:
        path = self._directory / SECRET_FILE
        try:
            create_once(path, lambda: secrets.token_bytes(SECRET_BYTES))
            found = path.read_bytes()
        except OSError as exc:
            raise store_error(f"read or write {path}", exc) from exc
        if len(found) != SECRET_BYTES:
            raise StoreBroken(f"{path} is damaged; delete it and start again, which ends sessions")
        return found


def take_identity(identity: Identity, database: Connector, data_dir: Path) -> None:
    """Give a service that has not served yet the identity of the one that is moved there.

    Raises:
        StoreBroken: it can't be read or written.

    """
    instance, secret = identity.instance, identity.session_secret
    if database.file:
        for name, content in ((FILE, instance.encode()), (SECRET_FILE, secret)):
            write_atomic(data_dir / name, content, OWNERS_ONLY)
    else:
        with database.write() as transaction:
            transaction.execute(REPLACE, instance=instance, session_secret=secret.hex())


class Shared(NamedTuple):
    """The identity that lies in a database."""

    instance: str
    session_secret: bytes


class SharedIdentity:
    """Implements `Identity` with a row of the database, which the first server writes."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    @property
    def instance(self) -> str:
        return self._found.instance

    @property
    def session_secret(self) -> bytes:
        return self._found.session_secret

    @cached_property
    def _found(self) -> Shared:
        made = {"instance": new_instance(), "session_secret": secrets.token_hex(SECRET_BYTES)}
        with self._connector.write() as transaction:
            transaction.execute(CREATE, **made)
            [row] = transaction.rows(FIND)
        return Shared(row["instance"], bytes.fromhex(row["session_secret"]))
