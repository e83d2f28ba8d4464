"""Temperatures that evaluations have fitted for a network, so that predictions can be tempered.

A temperature is a fact about a checkpoint and a split of the data set on which it was trained.
"""

from dataclasses import asdict, dataclass

from service.domain.temperature_trust import CLOSE_TO_BOUND, COLDEST, FEWEST_ROWS, HOTTEST
from service.store.sql.connector import Connector

# If there are several, the one is taken that was fitted on images that serve for nothing else.
# Earlier versions have kept some that can't be trusted.
FIND = """
SELECT temperature, split, fitted_on, fitted_rows FROM temperatures
WHERE job = (SELECT number FROM jobs WHERE id = :job) AND checkpoint_sha256 = :checkpoint_sha256
AND fitted_rows >= :fewest AND temperature > :coldest AND temperature < :hottest
ORDER BY CASE split WHEN 'validation' THEN 0 WHEN 'test' THEN 1 ELSE 2 END LIMIT 1
"""
# The job may have been deleted meanwhile, and another request may have kept the same one.
KEEP = """
INSERT INTO temperatures (job, checkpoint_sha256, split, temperature, fitted_on, fitted_rows)
SELECT number, :checkpoint_sha256, :split, :temperature, :fitted_on, :fitted_rows
FROM jobs WHERE id = :job ON CONFLICT DO NOTHING
"""
TRUSTED = {
    "fewest": FEWEST_ROWS,
    "coldest": COLDEST * CLOSE_TO_BOUND,
    "hottest": HOTTEST / CLOSE_TO_BOUND,
}


@dataclass(frozen=True)
class Temperature:
    """The number by which the logits of a network are divided, and where it was fitted."""

    temperature: float
    split: str
    fitted_on: str
    """`validation`, or `even rows` if it was fitted on every second image of the split."""
    fitted_rows: int


class Temperatures:
    """The temperatures of all networks. Who may ask is decided by who may see the network."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def find(self, job: str, checkpoint_sha256: str) -> Temperature | None:
        """Return the temperature of a network: that of its validation set, or else its test set."""
        with self._connector.read() as transaction:
            row = transaction.row(FIND, job=job, checkpoint_sha256=checkpoint_sha256, **TRUSTED)
        return Temperature(**row) if row else None

    def keep(self, job: str, checkpoint_sha256: str, found: Temperature) -> None:
        """Keep a temperature unless the job has been deleted.

        Raises:
            StoreBroken: it can't be written.

        """
        with self._connector.write() as transaction:
            values = {"job": job, "checkpoint_sha256": checkpoint_sha256}
            transaction.execute(KEEP, **values, **asdict(found))
