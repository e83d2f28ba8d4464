"""Workers in the test's own process, for faults of checkpoints and disks."""

from tests.support.worker_harness import workers

__all__ = ["workers"]  # a fixture
