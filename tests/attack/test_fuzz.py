"""Schemathesis sends what the OpenAPI document allows, and what it does not, to a real server.

Half of the ids in paths are those of existing jobs, so that it gets more than 404s.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.campaign import Campaign
from tests.support.live_service import train
from tests.support.server_process import Server

STREAM = "/v1/jobs/{job}/events"
"""The stream of a queued job does not end, so streams have a run of their own."""
# Excluded, because a valid value may be refused for its combination with others or for the state of
# the job, and because a repeated submission gets the first answer even if its job was deleted.
EXCLUDED = "positive_data_acceptance,ensure_resource_availability"
HIT = ("predict", "weights.npz", "layers/1/weights.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> tuple[Path, list[str]]:
    """A data directory, and the ids of the trained jobs in it."""
    data_dir = tmp_path_factory.mktemp("fuzzed")
    small = {"hidden": [12, 11], "epochs": 1, "batch_size": 512, "activation": "tanh"}
    deep = train(data_dir, datasets_dir, name="deep one", **small)
    linear = train(data_dir, datasets_dir, preset="linear", epochs=2, batch_size=1024)
    return data_dir, [deep, linear]


@pytest.fixture
def target(trained: tuple[Path, list[str]], datasets_dir: Path) -> Iterator[Server]:
    """A server that has trained jobs and trains no more."""
    server = Server(trained[0], datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Run:
    """The result of a run of the fuzzer."""

    code: int
    cases: int
    text: str


def fuzz(server: Server, jobs: list[str], folder: Path, *options: str, share: float = 0.5) -> Run:
    """Run schemathesis; a fraction `share` of the job ids in paths is taken from `jobs`."""
    folder.mkdir()
    values = {"job": jobs, "ref": [*jobs, "latest"]}
    lines = [f"[dictionaries.{name}]\nvalues = {json.dumps(ids)}" for name, ids in values.items()]
    lines += ["[parameters]"]
    lines += [f'"path.{it}" = {{ dictionary = "{it}", probability = {share} }}' for it in values]
    (folder / "schemathesis.toml").write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"]
    command += [f"{server.url}/openapi.json", "--warnings=off", f"--exclude-checks={EXCLUDED}"]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)
    cases = re.search(r"(\d+) generated", done.stdout)
    return Run(done.returncode, int(cases[1]) if cases else 0, done.stdout + done.stderr)


def check(run: Run, server: Server, campaign: Campaign, what: str, least: int) -> None:
    """Record and check that all answers were as documented, and that there were enough of them."""
    failed = run.code != 0 or '" 50' in server.log() or "Traceback" in server.log()
    measured = f"{run.cases} requests{', not all good' if failed else ''}"
    target = f"≥ {least} requests, every answer as documented and below 500"
    campaign.figure(what, target=target, measured=measured, met=not failed and run.cases >= least)
    assert not failed, run.text[-5000:]
    assert run.cases >= least


def test_a_fuzzer_finds_no_flaw_in_the_streams_of_finished_jobs(
    target: Server, trained: tuple[Path, list[str]], tmp_path: Path, campaign: Campaign
) -> None:
    """Runs before the other tests, which delete these jobs."""
    if not campaign.full:
        pytest.skip("the small version sends its requests to everything else")
    options = ["--phases=coverage,fuzzing", f"--include-path={STREAM}", "--max-examples=300"]
    run = fuzz(target, trained[1], tmp_path / "fuzz", *options, "--seed=7", share=0.9)
    check(run, target, campaign, "generated requests for streams", 300)
    assert re.search(r'/events HTTP/1.1" 20[04]', target.log())


def test_a_fuzzer_finds_only_answers_that_the_document_describes(
    target: Server, trained: tuple[Path, list[str]], tmp_path: Path, campaign: Campaign
) -> None:
    examples = campaign.of(4, 1300)
    options = ["--phases=examples,coverage,fuzzing,stateful", "--seed=7"]
    options += [f"--exclude-path={STREAM}", f"--max-examples={examples}"]
    run = fuzz(target, trained[1], tmp_path / "fuzz", *options)
    least = campaign.of(800, 20_000)
    check(run, target, campaign, "generated requests while nothing trains", least)
    assert "Selected: 22/23" in run.text
    for path in HIT:
        assert re.search(rf'/v1/models/latest/{path}\S* HTTP/1.1" 200', target.log()), path


def test_a_fuzzer_finds_no_flaw_while_workers_train_what_it_submits(
    trained: tuple[Path, list[str]], datasets_dir: Path, tmp_path: Path, campaign: Campaign
) -> None:
    if not campaign.full:
        pytest.skip("the small version sends its requests while nothing trains")
    limits = {"MLP_CONCURRENT_JOBS": "2", "MLP_KEEP_JOBS": "50", "MLP_MAX_JOB_FLOPS": "1e11"}
    server = Server(trained[0], datasets_dir, **limits, MLP_MAX_PARAMETERS="100000").start()
    options = ["--phases=fuzzing,stateful", "--max-examples=150", f"--exclude-path={STREAM}"]
    run = fuzz(server, trained[1], tmp_path / "fuzz", *options, "--seed=7")
    server.stop()
    check(run, server, campaign, "generated requests while workers train", 2000)
    assert "worker_started" in server.log()
