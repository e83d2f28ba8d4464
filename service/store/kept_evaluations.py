"""Answers about whole sets, which are kept with the job and deleted with it.

An evaluation is a fact that never changes. Kept, it need not be computed again after a restart, and
it survives the data set on which it was made.
"""

from service.store.sql.connector import Connector

KEPT = 16
"""Most answers of a job; each has some kilobytes, or 200 with 256 classes."""

FIND = """
SELECT evaluations.answer FROM evaluations JOIN jobs ON jobs.number = evaluations.job
WHERE jobs.id = :job AND evaluations.key = :key
"""
# The job may have been deleted meanwhile, and another request may have kept the same answer.
KEEP = """
INSERT INTO evaluations (job, key, answer)
SELECT number, :key, :answer FROM jobs WHERE id = :job ON CONFLICT DO NOTHING
"""
DROP_OLDEST = """
DELETE FROM evaluations WHERE job = (SELECT number FROM jobs WHERE id = :job)
AND number NOT IN (
    SELECT kept.number FROM evaluations AS kept JOIN jobs ON jobs.number = kept.job
    WHERE jobs.id = :job ORDER BY kept.number DESC LIMIT :kept
)
"""


class KeptEvaluations:
    """The kept answers of all jobs. Who may ask is decided by who may see the job."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def find(self, job: str, key: str) -> str | None:
        """Return a kept answer; None if there is none.

        Args:
            job: the id of a job.
            key: 64 characters that tell the question from all others about this job.

        """
        with self._connector.read() as transaction:
            row = transaction.row(FIND, job=job, key=key)
        return str(row["answer"]) if row else None

    def keep(self, job: str, key: str, answer: str) -> None:
        """Keep an answer unless the job has been deleted; drop the oldest ones beyond KEPT.

        Raises:
            StoreBroken: it can't be written.

        """
        with self._connector.write() as transaction:
            transaction.execute(KEEP, job=job, key=key, answer=answer)
            transaction.execute(DROP_OLDEST, job=job, kept=KEPT)
