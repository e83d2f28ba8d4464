"""Dispatchers and workers, each with a store of its own."""

import pytest

from service.store.artifacts import Artifacts
from service.store.attempts import Attempt
from service.store.sql.database import Database
from service.work import dispatcher as dispatcher_module
from service.work.process_handle import ProcessHandle
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness, FlakyHarness
from tests.support.job_records import ENVIRONMENT, claim
from tests.support.worker_harness import workers

__all__ = ["workers"]  # a fixture


@pytest.fixture
def harness(database: Database, artifacts: Artifacts) -> DispatcherHarness:
    return DispatcherHarness(database, artifacts)


@pytest.fixture
def flaky(database: Database, artifacts: Artifacts) -> FlakyHarness:
    return FlakyHarness(database, artifacts)


@pytest.fixture
def elsewhere(harness: DispatcherHarness) -> tuple[str, Attempt]:
    """A job whose worker runs on another machine."""
    job = submit(harness.jobs)
    attempt = claim(harness.database, job)
    attempt.begin(ProcessHandle("another boot", "pid:[1]", 1, 1).as_record(), ENVIRONMENT)
    return job, attempt


@pytest.fixture
def fast_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "POLL_SECONDS", 0.01)
