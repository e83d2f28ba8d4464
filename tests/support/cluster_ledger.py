"""What really happened in a cluster, read from the database and the bucket, past its servers."""

from datetime import timedelta
from typing import Any

import obstore
from obstore.store import from_url

from service.store.files.local import PROBE
from tests.support.cluster import Cluster
from tests.support.ledger import Ledger

NAMED = """
SELECT key FROM checkpoints UNION ALL SELECT key FROM snapshots
UNION ALL SELECT artifact FROM evaluation_tasks WHERE artifact IS NOT NULL
"""
UNNUMBERED = """
SELECT id FROM jobs WHERE event_count <> (
    SELECT count(*) FROM events WHERE events.job = jobs.number AND events.number IS NOT NULL
) OR event_count <> (SELECT max(number) FROM events WHERE events.job = jobs.number)
"""
SAME_FINISH = """
SELECT min(id) FROM jobs WHERE finish_number IS NOT NULL GROUP BY finish_number HAVING count(*) > 1
"""


class ClusterLedger(Ledger):
    """The database and the bucket of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.place)
        self._cluster = cluster

    def query(self, statement: str, *values: object) -> list[Any]:
        return self._cluster.query(statement.replace("?", "%s"), *values)

    def objects(self) -> set[str]:
        """Return the keys of all objects of the cluster."""
        options: Any = {"timeout": timedelta(seconds=30), "allow_http": True}
        store = from_url(self._cluster.environment["MLP_ARTIFACTS_URL"], client_options=options)
        return {str(found["path"]) for page in obstore.list(store) for found in page}

    def strangers(self) -> set[str]:
        """Return the objects that no row names."""
        named = {PROBE, f"{PROBE}-again"} | {key for (key,) in self.query(NAMED)}
        digests = self.query("SELECT sha256 FROM datasets WHERE state = 'ready'")
        folders = tuple(f"datasets/sha256-{digest}/" for (digest,) in digests)
        return {key for key in self.objects() - named if not key.startswith(folders or ("\0",))}

    def missing(self) -> set[str]:
        """Return the keys that rows name and under which there is no object."""
        return {key for (key,) in self.query(NAMED)} - self.objects()

    def unnumbered(self) -> list[str]:
        """Return the jobs whose events are not numbered from 1 without a gap."""
        return [job for (job,) in self.query(UNNUMBERED)]

    def same_finish(self) -> list[str]:
        """Return a job of each group that shares a place in the order of ends."""
        return [job for (job,) in self.query(SAME_FINISH)]
