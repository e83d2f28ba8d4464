"""Checks files as a checker does, each in a process of its own that is measured.

`python -P -m tests.support.measured_checks` reads paths, and answers each with a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service.ingest.check import Failed, check
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import UploadedFile
from service.work.check_limits import limit_check

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""The launcher of checkers sets this variable, too."""
MEGABYTE = 1024**2


@dataclass(frozen=True)
class Measured:
    """What a check has come to."""

    refusal: str
    """The code and the words of the first flaw, or what happened instead."""
    seconds: float
    """The processor time that it took."""
    peak: float
    """The most memory that the process had, in megabytes."""
    gained: float
    """The same without what it had at its start."""

    @property
    def is_told(self) -> bool:
        """Whether the file was refused in words."""
        return ": " in self.refusal


class MeasuredChecks:
    """A process that checks files."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def of(self, path: Path) -> Measured:
        """Check a file."""
        given, answers = self._process.stdin, self._process.stdout
        assert given
        assert answers
        print(path, file=given, flush=True)
        return Measured(**json.loads(answers.readline()))


@contextmanager
def measured_checks() -> Iterator[MeasuredChecks]:
    """Start the process."""
    command = [sys.executable, "-m", "tests.support.measured_checks"]
    environment = os.environ | ONE_THREAD
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield MeasuredChecks(process)
        assert process.stdin
        process.stdin.close()


def _checked_here(path: Path) -> Measured:
    limit_check()
    start, before = time.process_time(), _memory("VmHWM")
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = [UploadedFile(path, path.name)]
            check(files, IngestOptions(), Path(folder), Limits(), lambda *_: None)
            said = "accepted"
        except Failed as exc:
            said = f"{exc.flaws[0].code}: {exc.flaws[0].detail}"
        except MemoryError:
            said = "too_large: The check needs more memory than it may have."
        except Exception as exc:
            said = repr(exc)
    peak = _memory("VmHWM")
    return Measured(said, round(time.process_time() - start, 2), peak, round(peak - before, 1))


def _memory(name: str) -> float:
    text = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in text.splitlines() if line.startswith(name))
    return round(int(kilobytes) / 1024, 1)


def _checked(path: Path) -> Measured:
    """Check a file in a process that begins with what this one has loaded."""
    receiver, sender = os.pipe()
    if child := os.fork():
        os.close(sender)
        with os.fdopen(receiver) as file:
            text = file.read()
        _, status = os.waitpid(child, 0)
        if not text:
            return Measured(f"died with status {status}", 0, 0, 0)
        return Measured(**json.loads(text))
    with os.fdopen(sender, "w") as file:
        json.dump(asdict(_checked_here(path)), file)
    os._exit(0)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asdict(_checked(Path(line.rstrip("\n"))))), flush=True)  # noqa: T201
