"""Misbehaving workers: a program that takes a worker's arguments and does what the job's name says.

`tests/service/work/launchers/test_local.py` lets a real launcher start it in place of Python.
"""
# ruff: noqa: T201 - the launcher must keep what they print

import os
import signal
import sys
import time
from pathlib import Path


def exits_immediately() -> None:
    print("nothing to do here")
    sys.exit(3)


def kills_itself() -> None:
    print("good bye", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def is_ended_by_a_nameless_signal() -> None:
    os.kill(os.getpid(), 40)


def sleeps_forever() -> None:
    print("ready", flush=True)
    time.sleep(600)


def ignores_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeps_forever()


def exits_when_asked() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sleeps_forever()


def has_a_child() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    print(child, flush=True)
    time.sleep(600)


def prints_its_environment() -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MLP_DATABASE_URL"):
        print(f"{name}={os.environ.get(name)}")
    print("arguments", *sys.argv[1:])
    print("leads session", os.getsid(0) == os.getpid(), "stdin", Path("/proc/self/fd/0").readlink())
    print("and an error", file=sys.stderr)


def writes_garbage() -> None:
    sys.stdout.buffer.write(b"\xff\xfe\0" * 1000 + b"the end\n")


if __name__ == "__main__":
    globals()[sys.argv[4]]()
