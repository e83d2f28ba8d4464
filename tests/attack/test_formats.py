"""Uploads of every format with any bytes changed are accepted or refused in words, within limits.

In full, atheris looks for those that are not, guided by the branches that they take in the code; in
small, a few are changed at random.
"""

import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import format_fuzzer
from tests.support.campaign import Campaign
from tests.support.format_cases import ACCEPTED, FORMATS, Format, outcome_of
from tests.support.format_fuzzer import Tally

CASES = 12
FUZZ_SECONDS = int(os.environ.get("FORMAT_FUZZ_SECONDS", "600"))
"""Seconds for each format; on two cores, `make attack K=formats` takes half of their sum."""
INSTALL = f"This campaign needs atheris: {sys.executable} -m pip install atheris==3.0.0"


@pytest.fixture(params=sorted(FORMATS))
def form(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


def changed(seed: bytes, chance: random.Random) -> bytes:
    """Return a case with some bytes behind its options replaced, removed or repeated."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(1, len(data))
        some = bytes(data[at : at + chance.randint(1, 16)])
        data[at : at + len(some)] = chance.choice(
            [b"", 2 * some, bytes(len(some)), chance.randbytes(len(some)), b"\xff" * len(some)]
        )
    return bytes(data)


def test_whole_uploads_of_a_format_are_accepted(form: Format) -> None:
    first, *others = form.cases()
    assert outcome_of(form, first) == ACCEPTED
    assert all(outcome_of(form, b"\0" + case[1:]) for case in others)


def test_changed_uploads_are_accepted_whole_or_refused_in_words(
    campaign: Campaign, tmp_path: Path
) -> None:
    found = searched(tmp_path) if campaign.full else {name: tried(name) for name in FORMATS}
    for name, tally in found.items():
        accepted = tally.outcomes.get(ACCEPTED, 0)
        campaign.figure(
            f"{name}: uploads checked in {tally.processor_seconds / 60:.0f} min of a core",
            target="each whole or refused in words, in 5 s and a checker's memory",
            measured=f"{tally.executions:,}, {accepted:,} of them accepted; "
            f"{len(tally.findings)} places at fault",
            met=not tally.findings,
        )
    assert {name: tally.findings for name, tally in found.items() if tally.findings} == {}


def searched(folder: Path) -> dict[str, Tally]:
    """Search with atheris, in as many formats at once as there are cores."""
    assert find_spec("atheris"), INSTALL

    def search(name: str) -> Tally:
        return format_fuzzer.fuzz(name, FUZZ_SECONDS, folder / name)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        return dict(zip(FORMATS, threads.map(search, FORMATS), strict=True))


def tried(name: str) -> Tally:
    """Change a few uploads at random."""
    chance, form, start = random.Random(20), FORMATS[name], time.process_time()
    seeds = list(form.cases())
    outcomes = Counter(
        outcome_of(form, changed(chance.choice(seeds), chance)) for _ in range(CASES)
    )
    assert set(outcomes) - {ACCEPTED}
    return Tally(CASES, time.process_time() - start, outcomes=dict(outcomes))
