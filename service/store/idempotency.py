"""Idempotency keys: a request that is sent again gets the answer to the first one.

Jobs and data sets are made with keys. `job` and `job_number` of a row are the id and the number of
what was made, of either kind.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from service.domain.errors import KeyReused
from service.store.sql.transaction import Transaction
from service.store.sql.values import now

KEY_LIFETIME = timedelta(hours=24)
"""A key is kept for at least this long."""
KEPT_LATER = 10_000
"""A key is kept for at least this many later jobs, or data sets, whatever its age, because clocks
may jump."""
KIND = len("ds_")
"""The number of letters of an id that tell jobs from data sets."""

FIND = """
SELECT body_sha256, job, answer FROM idempotency_keys WHERE owner = :owner AND key = :key
"""
IS_KNOWN = "SELECT job FROM idempotency_keys WHERE owner = :owner AND key = :key"
INSERT = """
INSERT INTO idempotency_keys (owner, key, body_sha256, job, job_number, answer, created_at)
VALUES (:owner, :key, :body_sha256, :job, :job_number, :answer, :created_at)
"""
DELETE_OLD = """
DELETE FROM idempotency_keys WHERE job_number IN (
    SELECT job_number FROM idempotency_keys
    WHERE job_number <= :last AND substr(job, 1, 3) = :kind ORDER BY job_number LIMIT 10
) AND substr(job, 1, 3) = :kind AND created_at NOT BETWEEN :since AND :until
"""


def find_answer(
    transaction: Transaction, owner: str | None, key: str, body: bytes
) -> tuple[str, str] | None:
    """Return the id and the answer of what the owner made first with `key`; None without it.

    Raises:
        KeyReused: the key was used with another body.

    """
    first = transaction.row(FIND, owner=owner or "", key=key)
    if first is None:
        return None
    if first["body_sha256"] != hashlib.sha256(body).hexdigest():
        raise KeyReused(key)
    return first["job"], first["answer"]


def is_known(transaction: Transaction, owner: str | None, key: str) -> bool:
    """Return whether the owner has made something with `key`, of whatever body."""
    return transaction.row(IS_KNOWN, owner=owner or "", key=key) is not None


@dataclass(frozen=True)
class KeyedRequest:
    """A request with an idempotency key."""

    key: str
    body: bytes
    """What a repetition of the request must have in common with it."""


@dataclass(frozen=True)
class Made:
    """What a request has made: a job or a data set."""

    owner: str | None
    id: str
    number: int
    """Its place in the order of those of its kind."""


def keep_first_answer(
    transaction: Transaction, request: KeyedRequest, made: Made, answer: str
) -> None:
    """Store the answer under the request's key, unless the key is known already.

    Raises:
        KeyReused: the key was used with another body.

    """
    if find_answer(transaction, made.owner, request.key, request.body) is None:
        keep_answer(transaction, request.key, request.body, made, answer)


def keep_answer(transaction: Transaction, key: str, body: bytes, made: Made, answer: str) -> None:
    """Store the answer under the key, and delete a few keys that are too old to be sent again."""
    at = now()
    transaction.execute(
        INSERT,
        owner=made.owner or "",
        key=key,
        body_sha256=hashlib.sha256(body).hexdigest(),
        job=made.id,
        job_number=made.number,
        answer=answer,
        created_at=at,
    )
    # A key from the future is as old as its distance: the clock was wrong then, or is now.
    span = {"since": at - KEY_LIFETIME, "until": at + KEY_LIFETIME}
    transaction.execute(DELETE_OLD, kind=made.id[:KIND], last=made.number - KEPT_LATER, **span)
