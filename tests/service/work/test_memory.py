"""How much memory jobs may take, on machines and in containers."""

from pathlib import Path

import pytest

from service.domain.room import Room
from service.work import memory
from service.work.memory import room_for_jobs, usable_memory

GIB = 1024**3


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 * GIB // 1024} kB\nMemFree: 1 kB\n")
    (tmp_path / "cgroup").write_text("")
    for name, file in (("MEMORY", "meminfo"), ("OWN_CGROUP", "cgroup"), ("CGROUPS", "groups")):
        monkeypatch.setattr(memory, name, tmp_path / file)
    return tmp_path


def limit(machine: Path, group: str, file: str, value: str) -> None:
    folder = machine / "groups" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(f"{value}\n")


def test_it_is_that_of_the_machine_without_a_limit(machine: Path) -> None:
    assert usable_memory() == 8 * GIB
    (machine / "cgroup").unlink()
    assert usable_memory() == 8 * GIB


@pytest.mark.parametrize(
    ("own", "group", "file"),
    [
        ("0::/", "", "memory.max"),  # a container sees its own group as the root
        ("0::/mlp.slice/server.service", "mlp.slice/server.service", "memory.max"),
        ("0::/mlp.slice/server.service", "mlp.slice", "memory.max"),
        ("5:cpu:/\n4:memory:/docker/1f", "memory/docker/1f", "memory.limit_in_bytes"),
        ("4:memory:/docker/1f", "memory", "memory.limit_in_bytes"),
    ],
)
def test_it_is_what_a_control_group_allows(machine: Path, own: str, group: str, file: str) -> None:
    (machine / "cgroup").write_text(f"{own}\n")
    limit(machine, group, file, str(2 * GIB))
    assert usable_memory() == 2 * GIB


def test_a_group_without_a_limit_of_its_own_has_that_of_the_machine(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/mlp.slice\n")
    limit(machine, "mlp.slice", "memory.max", "max")
    limit(machine, "", "memory.max", str(2**63 - 4096))
    assert usable_memory() == 8 * GIB


def test_jobs_get_most_of_it_unless_a_setting_says_less() -> None:
    assert room_for_jobs(None) == Room(int(0.8 * 8 * GIB), 8 * GIB)
    assert room_for_jobs(GIB) == Room(GIB, GIB)
