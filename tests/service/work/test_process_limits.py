"""Limits that a worker sets on itself, each in a process of its own."""

import subprocess
import sys


def in_a_process(code: str) -> str:
    start = (
        "import resource as r, numpy as np\nfrom service.work.process_limits import limit_memory\n"
    )
    command = [sys.executable, "-W", "error", "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_an_allocation_beyond_the_limit_raises_a_memory_error() -> None:
    code = (
        "limit_memory(10, 0)\ntry: np.ones(2**32, np.uint8)\nexcept MemoryError: print('refused')"
    )
    assert in_a_process(code) == "refused"
    code = "limit_memory(2**31, 0)\nprint(np.empty(2**32, np.uint8).size)"
    assert in_a_process(code) == str(2**32)


def test_mapped_data_has_room_of_its_own() -> None:
    code = "limit_memory(10, 2**33)\nprint(np.empty(2**33, np.uint8).size)"
    assert in_a_process(code) == str(2**33)


def test_a_stricter_limit_of_the_machine_is_kept() -> None:
    code = (
        "r.setrlimit(r.RLIMIT_AS, (2**31, 2**31))\n"
        "limit_memory(10, 0)\n"
        "print(r.getrlimit(r.RLIMIT_AS))"
    )
    assert in_a_process(code) == str((2**31, 2**31))
