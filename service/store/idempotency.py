"""Idempotency keys: a submission that is sent again gets the answer to the first one."""

import hashlib
from datetime import timedelta

from service.domain.errors import KeyReused
from service.store.sql.transaction import Transaction
from service.store.sql.values import now
from service.store.stored_job import StoredJob

KEY_LIFETIME = timedelta(hours=24)
"""A key is kept for at least this long."""
KEY_JOBS = 10_000
"""A key is kept for at least this many later jobs, whatever its age, because clocks may jump."""

FIND = """
SELECT body_sha256, job, answer FROM idempotency_keys WHERE owner = :owner AND key = :key
"""
INSERT = """
INSERT INTO idempotency_keys (owner, key, body_sha256, job, job_number, answer, created_at)
VALUES (:owner, :key, :body_sha256, :job, :job_number, :answer, :created_at)
"""
DELETE_OLD = """
DELETE FROM idempotency_keys WHERE job_number IN (
    SELECT job_number FROM idempotency_keys WHERE job_number <= :last ORDER BY job_number LIMIT 10
) AND created_at NOT BETWEEN :since AND :until
"""


def find_answer(
    transaction: Transaction, owner: str | None, key: str, body: bytes
) -> tuple[str, str] | None:
    """Return the job and the answer of the owner's first submission with `key`; None without one.

    Raises:
        KeyReused: the key was used with another body.

    """
    first = transaction.row(FIND, owner=owner or "", key=key)
    if first is None:
        return None
    if first["body_sha256"] != hashlib.sha256(body).hexdigest():
        raise KeyReused(key)
    return first["job"], first["answer"]


def keep_answer(
    transaction: Transaction, key: str, body: bytes, job: StoredJob, answer: str
) -> None:
    """Store the answer under the key, and delete a few keys that are too old to be sent again."""
    at = now()
    transaction.execute(
        INSERT,
        owner=job.owner or "",
        key=key,
        body_sha256=hashlib.sha256(body).hexdigest(),
        job=job.id,
        job_number=job.number,
        answer=answer,
        created_at=at,
    )
    # A key from the future is as old as its distance: the clock was wrong then, or is now.
    span = {"since": at - KEY_LIFETIME, "until": at + KEY_LIFETIME}
    transaction.execute(DELETE_OLD, last=job.number - KEY_JOBS, **span)
