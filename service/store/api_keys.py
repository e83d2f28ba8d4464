"""API keys: created, listed, revoked. Only the SHA-256 of a key's secret is stored.

The secret has 256 random bits, so a slow hash would add nothing, and one look-up by id suffices.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.domain.errors import KeyNotFound
from service.store.sql.connector import Connector
from service.store.sql.values import Row, now

SCOPES = ("read", "predict", "train", "admin")
ID_LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 10
OWNER = re.compile(r"[A-Za-z0-9._-]{1,64}")
NAME_LENGTH = 64

INSERT = """
INSERT INTO api_keys (id, name, owner, secret_sha256, scopes, models_of, created_at, expires_at)
VALUES (:id, :name, :owner, :secret_sha256, :scopes, :models_of, :created_at, :expires_at)
"""
ALL = """
SELECT id, name, owner, secret_sha256, scopes, models_of, created_at, expires_at, revoked_at,
    last_used_at
FROM api_keys ORDER BY created_at, id
"""
FIND = "SELECT id FROM api_keys WHERE id = :id"
REVOKE = "UPDATE api_keys SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL"
NOTE_USE = "UPDATE api_keys SET last_used_at = :at WHERE id = :id"


@dataclass(frozen=True)
class ApiKey:
    """An API key, without its secret."""

    id: str
    name: str | None
    """A name for people, which need not be unique."""
    owner: str
    secret_sha256: str = field(repr=False)
    scopes: frozenset[str]
    models_of: str | None
    """The owner whose models the key predicts with, if it is not `owner`."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """The time of the last use, or up to a minute before it; None if it was never used."""

    @property
    def expired(self) -> bool:
        """Whether the lifetime of the key is over."""
        return self.expires_at is not None and self.expires_at <= now()


class ApiKeyStore:
    """The API keys. A revoked key stays: as long as there is any row, requests need a key."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def create(
        self,
        owner: str,
        scopes: Collection[str],
        lifetime: timedelta | None = None,
        *,
        name: str | None = None,
        models_of: str | None = None,
    ) -> str:
        """Store a new key and return it with its secret, which can't be read again.

        Raises:
            ValueError: `models_of` is given, and the scopes are not `predict` alone.

        """
        if models_of is not None and set(scopes) != {"predict"}:
            raise ValueError("models of another owner are only for keys with predict alone")
        id_ = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        secret = secrets.token_urlsafe(32)
        created = now()
        with self._connector.write() as transaction:
            transaction.execute(
                INSERT,
                id=id_,
                name=name,
                owner=owner,
                secret_sha256=sha256_of(secret),
                scopes=sorted(set(scopes)),
                models_of=models_of,
                created_at=created,
                expires_at=None if lifetime is None else created + lifetime,
            )
        return f"mlp_{id_}_{secret}"

    def all(self) -> list[ApiKey]:
        """Return all keys, oldest first, including those that are no longer valid."""
        with self._connector.read() as transaction:
            return [_api_key(row) for row in transaction.rows(ALL)]

    def note_uses(self, at: Mapping[str, datetime]) -> None:
        """Record when keys were last used, by their ids."""
        with self._connector.write() as transaction:
            uses = [{"id": id_, "at": used} for id_, used in sorted(at.items())]
            transaction.execute_many(NOTE_USE, uses)

    def revoke(self, id_: str) -> None:
        """Make a key invalid for good. Revoking it again changes nothing.

        Raises:
            KeyNotFound: no key has this id.

        """
        with self._connector.write() as transaction:
            transaction.execute(REVOKE, id=id_, at=now())
            if transaction.row(FIND, id=id_) is None:
                raise KeyNotFound(id_)


def sha256_of(secret: str) -> str:
    """Return the digest that is stored in place of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _api_key(row: Row) -> ApiKey:
    return ApiKey(**row | {"scopes": frozenset(row["scopes"])})
