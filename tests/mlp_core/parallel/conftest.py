import platform
import threading
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from mlp_core.parallel import step_runner
from tests.support.two_core_runs import keeps_bits


@pytest.fixture(autouse=True)
def two_processes_are_possible(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Allow two processes in pytest, too, and on processors where split bits differ."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # the threads of pytest do no harm
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with threadpool_limits(1):
        if not keeps_bits():
            monkeypatch.setattr(step_runner, "split_keeps_bits", lambda *_: True)
        yield
