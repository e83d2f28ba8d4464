"""API keys: made, listed, revoked. Of a key's secret only the SHA-256 is kept.

The secret has 256 bits of chance, so a slow hash would add nothing, and one look-up by id suffices.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping

from service.domain.errors import KeyNotFound
from service.store.sql.connector import Database
from service.store.sql.schema import api_keys
from service.store.transitions import now

SCOPES = ("read", "predict", "train", "admin")
ID_LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 10
OWNER = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Key:
    """An API key, without its secret."""

    id: str
    owner: str
    secret_sha256: str = field(repr=False)
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()


class KeyStore:
    """The API keys. A revoked key stays: while there is any row, the service is not open."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        owner: str,
        scopes: Collection[str],
        lifetime: timedelta | None = None,
    ) -> str:
        """Store a new key; return it, which is the only time that its secret is known."""
        id_ = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        secret = secrets.token_urlsafe(32)
        created = now()
        entry = {
            "id": id_,
            "owner": owner,
            "secret_sha256": sha256_of(secret),
            "scopes": sorted(set(scopes)),
            "created_at": created,
            "expires_at": None if lifetime is None else created + lifetime,
        }
        with self._database.write() as connection:
            connection.execute(insert(api_keys).values(entry))
        return f"mlp_{id_}_{secret}"

    def all(self) -> list[Key]:
        """Return all keys, oldest first, also those that are valid no more."""
        with self._database.read() as connection:
            query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
            return [_key(row) for row in connection.execute(query).mappings()]

    def revoke(self, id_: str) -> None:
        """Make a key invalid for good. To do it again changes nothing.

        Raises:
            KeyNotFound: no key has this id.

        """
        with self._database.write() as connection:
            of_id = api_keys.c.id == id_
            valid = update(api_keys).where(of_id, api_keys.c.revoked_at.is_(None))
            connection.execute(valid.values(revoked_at=now()))
            if connection.scalar(select(api_keys.c.id).where(of_id)) is None:
                raise KeyNotFound(id_)


def sha256_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: RowMapping) -> Key:
    return Key(**{**row, "scopes": frozenset(row["scopes"])})
