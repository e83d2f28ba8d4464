"""Idempotency keys: a submission that is sent again gets the answer to the first one."""

import hashlib
from datetime import timedelta

from service.domain.errors import KeyReused
from service.store.sql.transaction import Transaction
from service.store.sql.values import now
from service.store.stored_job import StoredJob

KEY_LIFETIME = timedelta(hours=24)
KEY_JOBS = 10_000
"""A key is kept for so many jobs after its own, whatever its age: clocks may jump."""

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


def find_twin(
    transaction: Transaction, owner: str | None, key: str, body: bytes
) -> tuple[str, str] | None:
    """Return the job that the owner's first submission with `key` made, and its answer.

    Raises:
        KeyReused: the key was used with another body.

    """
    twin = transaction.row(FIND, owner=owner or "", key=key)
    if twin is None:
        return None
    if twin["body_sha256"] != hashlib.sha256(body).hexdigest():
        raise KeyReused(key)
    return twin["job"], twin["answer"]


def keep_key(transaction: Transaction, key: str, body: bytes, job: StoredJob, answer: str) -> None:
    """Remember the answer, and forget a few old keys that nobody will retry."""
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
