"""Looks for uploads that are neither accepted nor refused in words, guided by coverage.

`python -m tests.support.format_fuzzer FORMAT SECONDS FOLDER` fuzzes one format with atheris, which
no requirements name, because it has no packages for all versions of Python: `pip install
atheris==3.0.0`. The folder keeps the corpus, what was found, and the figures in `tally.json`.
"""

import json
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from service.work.check_limits import DATA_BYTES

MODULE = "tests.support.format_fuzzer"
TALLY_NAME, CORPUS_NAME, FINDINGS_NAME = "tally.json", "corpus", "findings"
INSTRUMENTED = ["service.ingest", "service.inference", "PIL", "tarfile", "gzip", "zipfile"]
LONGEST_CASE = 16_384
"""Bytes."""
MOST_SECONDS = 5.0
"""Processor time that a case may take, with code that counts its branches."""
TALLY_EVERY = 200
"""The figures are written after so many cases."""
CASES_OF_PROCESS = 10_000
"""A process ends after so many, because atheris itself takes more memory with each of them."""


@dataclass
class Tally:
    """What the fuzzing of a format has come to, over all its processes."""

    executions: int = 0
    processor_seconds: float = 0.0
    slowest: float = 0.0
    """Seconds of processor time of one case."""
    outcomes: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    """Different places at which a case went wrong."""

    @classmethod
    def kept(cls, folder: Path) -> Self:
        """Return what earlier processes have kept in a folder."""
        path = folder / TALLY_NAME
        if not path.exists():
            return cls()
        record: dict[str, Any] = json.loads(path.read_text())
        return cls(**record)

    def keep(self, folder: Path) -> None:
        """Write the figures; a reader never sees half of them."""
        part = folder / f"{TALLY_NAME}.part"
        part.write_text(json.dumps(asdict(self), indent=1))
        part.replace(folder / TALLY_NAME)

    def find(self, where: str, case: bytes, told: str, folder: Path) -> None:
        """Note what went wrong, and keep the case if it is the first at this place."""
        if where in self.findings:
            return
        self.findings.append(where)
        name = sha256(where.encode()).hexdigest()[:16]
        (folder / FINDINGS_NAME / f"{name}.case").write_bytes(case)
        (folder / FINDINGS_NAME / f"{name}.txt").write_text(told)
        self.keep(folder)


def fuzz(name: str, seconds: int, folder: Path) -> Tally:
    """Fuzz one format for some time, in a process of its own, again after each that has ended.

    Raises:
        RuntimeError: the fuzzer does not run.

    """
    for each in (CORPUS_NAME, FINDINGS_NAME):
        (folder / each).mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    while (left := int(end - time.monotonic())) > 0:
        before = Tally.kept(folder).executions
        command = [sys.executable, "-m", MODULE, name, str(left), str(folder), "here"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:  # a crash or a hang, which the fuzzer itself has kept
            tally = Tally.kept(folder)
            if tally.executions == before:
                raise RuntimeError(done.stderr)
            said = [line for line in done.stderr.splitlines() if "ERROR: " in line]
            where = said[0].split("ERROR: ")[1] if said else f"exit code {done.returncode}"
            tally.find(where, b"", done.stderr[-20_000:], folder)
    return Tally.kept(folder)


def _fuzz_here(name: str, seconds: int, folder: Path) -> None:
    """Fuzz in this process; never returns."""
    import atheris

    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as in a checker
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.support.format_cases import FORMATS, outcome_of
    form, tally = FORMATS[name], Tally.kept(folder)
    for at, seed in enumerate(form.cases()):
        (folder / CORPUS_NAME / f"seed-{at}").write_bytes(seed)

    def check(case: bytes) -> None:
        start = time.process_time()
        try:
            with _memory_of_a_checker():
                try:
                    outcome = outcome_of(form, case)
                except MemoryError:
                    outcome = "too_large"  # as a checker itself records it
            tally.outcomes[outcome] = tally.outcomes.get(outcome, 0) + 1
            assert time.process_time() - start <= MOST_SECONDS, "a case takes too long"
        except Exception as exc:
            tally.find(_where(exc), case, traceback.format_exc(), folder)
        tally.executions += 1
        took = time.process_time() - start
        tally.processor_seconds += took
        tally.slowest = max(tally.slowest, took)
        if tally.executions % TALLY_EVERY == 0:
            tally.keep(folder)

    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST_CASE}", "-timeout=60"]
    found = [f"-artifact_prefix={folder / FINDINGS_NAME}/", "-rss_limit_mb=2048"]
    limits.append(f"-runs={CASES_OF_PROCESS}")
    atheris.Setup([sys.argv[0], *limits, *found, str(folder / CORPUS_NAME)], check)
    atheris.Fuzz()


@contextmanager
def _memory_of_a_checker() -> Iterator[None]:
    """Let this process allocate no more than a checker may, beyond what it has already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    data_pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = data_pages * resource.getpagesize() + DATA_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _where(error: Exception) -> str:
    """Name an error and the line of the project that raised it."""
    root = str(Path(__file__).parents[2])
    frames = traceback.extract_tb(error.__traceback__)
    own = [it for it in frames if it.filename.startswith(root)] or frames
    return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}: {error}"[
        :200
    ]


if __name__ == "__main__":
    known, given, place = sys.argv[1:4]
    if sys.argv[4:] == ["here"]:
        _fuzz_here(known, int(given), Path(place))
    else:
        print(json.dumps(asdict(fuzz(known, int(given), Path(place))), indent=1))  # noqa: T201
