"""The system calls by which a process changes files, recorded with strace."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CALLS = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat"
)
KINDS = {"pwrite64": "write", "fdatasync": "fsync", "openat": "create"}
PATH = re.compile(r'<(/[^>]*)>|"([^"]*)"')

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@dataclass(frozen=True)
class Op:
    """One change of the file system, or one step that makes changes durable."""

    kind: str
    """create, write, ftruncate, fsync, rename, unlink or mkdir."""
    path: Path
    to: Path | None = None
    """The new path, if this is a rename."""


def strace(arguments: Sequence[str], program: Sequence[str], **environment: str) -> str:
    """Run `program` with this Python under strace; return its standard error."""
    done = subprocess.run(
        ["strace", "-f", *arguments, sys.executable, *program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return done.stderr


def recorded(folder: Path, program: Sequence[str], **environment: str) -> list[Op]:
    """Run `program`; return what it did to files in `folder`, in order."""
    trace = folder.with_name("trace")
    said = strace(
        ["-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace)], program, **environment
    )
    assert "Traceback" not in said, said
    lines = _joined(trace.read_text().splitlines())
    return [op for line in lines for op in _ops(line) if folder in (op.path, *op.path.parents)]


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Join calls that strace shows in two halves because another process came in between."""
    halves: dict[str, str] = {}
    for line in lines:
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            halves[pid] = line.removesuffix("<unfinished ...>").rstrip()
        elif resumed := re.match(r" *<\.\.\. \w+ resumed>(.*)", rest):
            yield halves.pop(pid) + resumed[1]
        else:
            yield line


def _ops(line: str) -> Iterator[Op]:
    found = re.match(r"\d+ +(\w+)\((.*)\) += (\d+)", line)
    if found is None:
        return  # it failed
    call, arguments = found[1], found[2]
    if call == "openat" and "O_CREAT" not in arguments:
        return
    named = _paths(call, arguments)
    kind = re.sub(r"at2?$", "", KINDS.get(call, call))
    if named:
        yield Op(kind, named[0], named[1] if kind == "rename" else None)


def _paths(call: str, arguments: str) -> list[Path]:
    """Return the absolute paths among the arguments of a call."""
    if call.startswith(("rename", "unlink", "mkdir", "open")):
        return [Path(quoted) for quoted in re.findall(r'"(/[^"]*)"', arguments)]
    # A path may come with the directory that it is relative to.
    paths = [Path(one or other) for one, other in PATH.findall(arguments)]
    return [path for path in paths if path.is_absolute()]
