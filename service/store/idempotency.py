"""Idempotency keys: a submission that is sent again gets the first one's answer."""

import hashlib
from datetime import timedelta

from sqlalchemy import Connection, bindparam, delete, insert, not_, select
from sqlalchemy.engine import RowMapping

from service.domain.errors import KeyReused
from service.store.sql.schema import idempotency_keys
from service.store.transitions import now

KEY_LIFETIME = timedelta(hours=24)
KEY_JOBS = 10_000
"""A key is kept for so many jobs after its own, whatever its age: clocks may jump."""

# Made once: to put a statement together takes longer than to execute it.
KEYS = idempotency_keys.c
FIND = select(idempotency_keys).where(KEYS.owner == bindparam("by"), KEYS.key == bindparam("sent"))
KEEP = insert(idempotency_keys)
OLDEST = select(KEYS.job_number).where(KEYS.job_number <= bindparam("last"))
OLDEST = OLDEST.order_by(KEYS.job_number).limit(10)
FORGET = delete(idempotency_keys).where(
    KEYS.job_number.in_(OLDEST),
    not_(KEYS.created_at.between(bindparam("since"), bindparam("until"))),
)


def find_twin(
    connection: Connection, owner: str | None, key: str, body: bytes
) -> tuple[str, str] | None:
    """Return the job that the owner's first submission with `key` made, and its answer.

    Raises:
        KeyReused: the key was used with another body.

    """
    twin = connection.execute(FIND, {"by": owner or "", "sent": key}).mappings().one_or_none()
    if twin is None:
        return None
    if twin["body_sha256"] != hashlib.sha256(body).hexdigest():
        raise KeyReused(key)
    return twin["job"], twin["answer"]


def keep_key(connection: Connection, key: str, body: bytes, job: RowMapping, answer: str) -> None:
    """Remember the answer, and forget a few old keys that nobody will retry."""
    at = now()
    made = {"owner": job["owner"] or "", "key": key, "job": job["id"], "job_number": job["number"]}
    made |= {"body_sha256": hashlib.sha256(body).hexdigest(), "answer": answer, "created_at": at}
    connection.execute(KEEP, made)
    # A key from the future is as old as its distance: the clock was wrong then, or is now.
    span = {"since": at - KEY_LIFETIME, "until": at + KEY_LIFETIME}
    connection.execute(FORGET, {"last": job["number"] - KEY_JOBS, **span})
