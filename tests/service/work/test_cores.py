"""How many cores a process may use, and whether one is idle."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.work import cores as module
from service.work.cores import usable_cores


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the cgroup's `cpu.max` by a file of this test, on a machine with 8 cores."""
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(module, "CGROUP_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return file


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("30000 10000\n", 3),
        ("", 8),
        ("nonsense\n", 8),
    ],
)
def test_usable_cores_are_the_smaller_of_affinity_and_quota(
    quota: Path, text: str, cores: int
) -> None:
    quota.write_text(text)
    assert usable_cores() == cores


def test_without_a_quota_the_affinity_counts(quota: Path) -> None:
    assert not quota.exists()
    assert usable_cores() == 8


def test_a_process_bound_to_one_core_uses_one() -> None:
    first = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{first}}}); from service.work.cores import *; "
    answer = subprocess.check_output([sys.executable, "-c", code + "print(usable_cores())"])
    assert answer == b"1\n"


@pytest.mark.parametrize(
    ("loadavg", "cores", "idle"),
    [
        ("0.1 0.2 0.3 1/80 9\n", 2, True),
        ("0.1 0.2 0.3 2/80 9\n", 2, False),
        ("0.1 0.2 0.3 1/80 9\n", 1, False),
        ("0.1 0.2 0.3 2/80 9\n", 4, False),
        ("unreadable\n", 2, False),
    ],
)
def test_a_core_is_idle_while_fewer_threads_than_cores_run(
    loadavg: str, cores: int, idle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loadavg").write_text(loadavg)
    monkeypatch.setattr(module, "LOAD_AVERAGE", tmp_path / "loadavg")
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert module.a_core_is_idle() == idle
