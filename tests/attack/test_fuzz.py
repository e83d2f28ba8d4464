"""Schemathesis sends what the OpenAPI document allows, and what it does not, to a real server.

Half of the ids in paths are those of existing jobs, so that it gets more than 404s. Requests in
forms that no document describes are generated here: packed and damaged bodies, and odd addresses.
"""

import gzip
import json
import random
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest

from tests.support.campaign import Campaign
from tests.support.live_service import train
from tests.support.server_process import Server

STREAM = "/v1/jobs/{job}/events"
"""The stream of a queued job does not end, so streams have a run of their own."""
ENDLESS = "/v1/events"
"""tests/service/api/test_stream.py sends it what the document allows, and what it does not."""
# Excluded, because a valid value may be refused for its combination with others or for the state of
# the job, and because a repeated submission gets the first answer even if its job was deleted.
EXCLUDED = "positive_data_acceptance,ensure_resource_availability"
LENIENT = (
    # Its question is whether a spec is valid, so its answer to one that is not is 200 as well.
    "/v1/jobs/preview",
    # One value in place of a list is a list of one in a query: `?tag=false` asks for that tag.
    "/v1/jobs",
    # Each of several images that can't be read has a problem of its own within a 200.
    "/v1/models/{ref}/predict",
)
"""Operations that answer 200 to what the document calls invalid."""
PATIENCE_SECONDS = 60
"""An evaluation may take some 20 seconds of a core, as docs/evaluations.md says, and workers use
both cores meanwhile. By itself, the tool gives up after ten."""
REFUSALS = (400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, 431)
HIT = (
    "models/latest/predict",
    "models/latest/weights.npz",
    "models/latest/layers/1/weights.png",
    "models/latest/layers/1/weights.npy",
    r"models/\S+/layers/1/biases.npy",
    r"models/\S+@\S+",
    "models/latest/evaluation",
    "models/latest/evaluation/misread.json",
    r"models/\S+/evaluation/misread.png",
    r"models/\S+/evaluation/confusion.\w+",
    r"models/\S+/evaluation/predictions.\w+",
    "models/latest/snapshots",
    "datasets/mnist/events",
    "models/latest/film.webp",
    "curves.png",
    "epochs",
    "system",
    "jobs/actions",
    "jobs/preview",
)


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
    text: str
    """What it printed."""
    log: str
    """What the server logged meanwhile."""

    @property
    def cases(self) -> int:
        return self._number(r"(\d+) generated")

    @property
    def operations(self) -> int:
        return self._number(r"Tested: (\d+)")

    @property
    def wrong(self) -> int:
        """The kinds of answers that were not as documented."""
        return self._number(r"found (\d+) unique failure")

    @property
    def server_errors(self) -> int:
        return len(re.findall(r" status=5\d\d ", self.log))

    def _number(self, pattern: str) -> int:
        found = re.search(pattern, self.text)
        return int(found[1]) if found else 0


def fuzz(server: Server, jobs: list[str], folder: Path, *options: str, share: float = 0.5) -> Run:
    """Run schemathesis; a fraction `share` of the job ids is taken from `jobs`."""
    folder.mkdir()
    values = {
        "path.job": jobs,
        "path.ref": [*jobs, "latest", "latest@best", *(f"{job}@0" for job in jobs)],
        "query.jobs": [*jobs, ",".join(jobs)],
        "query.unlike": [*jobs, f"{jobs[0]}@1", "latest@last"],
    }
    lines = [f'[dictionaries."{name}"]\nvalues = {json.dumps(ids)}' for name, ids in values.items()]
    lines += ["[parameters]"]
    lines += [f'"{it}" = {{ dictionary = "{it}", probability = {share} }}' for it in values]
    lines += ["[checks]", f"negative_data_rejection.expected-statuses = {list(REFUSALS)}"]
    for path in LENIENT:
        lines += ["[[operations]]", f'include-path = "{path}"', "[operations.checks]"]
        lines += [f"negative_data_rejection.expected-statuses = {[200, *REFUSALS]}"]
    (folder / "schemathesis.toml").write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"]
    command += [f"{server.url}/openapi.json", "--warnings=off", f"--exclude-checks={EXCLUDED}"]
    command += [f"--request-timeout={PATIENCE_SECONDS}"]
    before = len(server.log())
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)
    return Run(done.returncode, done.stdout + done.stderr, server.log()[before:])


def check(run: Run, server: Server, campaign: Campaign, what: str, least: int) -> None:
    """Record and check that all answers were as documented, and that there were enough of them."""
    good = run.code == 0 and not run.server_errors and "Traceback" not in server.log()
    measured = f"{run.cases} requests, operations: {run.operations}, "
    measured += f"kinds of wrong answers: {run.wrong}, answers 5xx: {run.server_errors}"
    target = f"≥ {least} requests, every answer as documented and below 500"
    campaign.figure(what, target=target, measured=measured, met=good and run.cases >= least)
    assert good, run.text[-5000:]
    assert run.cases >= least


def test_a_fuzzer_finds_no_flaw_in_the_streams_of_finished_jobs(
    target: Server, trained: tuple[Path, list[str]], tmp_path: Path, campaign: Campaign
) -> None:
    """Runs before the other tests, which delete these jobs."""
    options = ["--phases=coverage,fuzzing", f"--include-path={STREAM}", "--seed=7"]
    options += [f"--max-examples={campaign.of(10, 300)}"]
    run = fuzz(target, trained[1], tmp_path / "fuzz", *options, share=0.9)
    check(run, target, campaign, "generated requests for streams", campaign.of(30, 300))
    assert {"200", "204"} <= set(re.findall(r"/events status=(\d+) ", run.log))


BODIES = (
    '{"preset": "linear", "epochs": 2.0}',
    '{"inputs": [{"dataset": "mnist", "index": 7.0}], "top_k": 2e0}',
    '{"name": "Zo\xeb", "inputs": []}',
    "{}",
    "",
    "x" * 100_000,
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32-be", "latin-1")
PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    gzip.compress,
    zlib.compress,
    lambda data: gzip.compress(gzip.compress(data)),
)
CODINGS = ("gzip", "x-gzip", "deflate", "identity", "br", "gzip, gzip", "", "\xff", "gzip;q=1")
PATHS = ("/v1/jobs", "/v1/models/latest/predict", "/livez", "/v1/jobs/{}", "/v1/jobs/{}/events")
TAILS = ("", "/", "//", "%2F", "?_=1", "/?t=1&_=2&_=3", "?lastEventId=2", "?lastEventId=x&cb")
TYPES = (*3 * ["application/json"], "application/json; charset=latin-1", "image/png", "x/+json", "")


def odd_request(chance: random.Random, job: str) -> dict[str, Any]:
    """Return a request as no document describes it."""
    body = bytearray(chance.choice(PACKERS)(_encoded(chance)))
    if body and chance.random() < 0.3:
        body[chance.randrange(len(body))] = chance.randrange(256)
    if chance.random() < 0.2:
        body = body[: chance.randrange(len(body) + 1)] + bytes(chance.randrange(3))
    headers = {"Content-Encoding": chance.choice(CODINGS), "Content-Type": chance.choice(TYPES)}
    sent = {name: value.encode("latin-1") for name, value in headers.items() if value}
    return {
        "method": chance.choice(("GET", "HEAD", "POST", "POST", "POST", "OPTIONS", "PUT")),
        "url": chance.choice(PATHS).format(job) + chance.choice(TAILS),
        "content": bytes(body) if chance.random() < 0.7 else iter([bytes(body)]),
        "headers": sent,
    }


def _encoded(chance: random.Random) -> bytes:
    return chance.choice(BODIES).encode(chance.choice(ENCODINGS))


def is_proper(answer: httpx2.Response) -> bool:
    """Return whether an answer is a success, or a problem that blames the request."""
    if answer.request.method == "HEAD":
        return answer.status_code < 500 and not answer.content
    is_problem = answer.headers.get("Content-Type") == "application/problem+json"
    return answer.status_code < 400 or (answer.status_code < 500 and is_problem)


def test_requests_in_odd_forms_are_answered_or_refused_with_a_problem(
    target: Server, trained: tuple[Path, list[str]], campaign: Campaign
) -> None:
    """Runs before the other tests, which delete these jobs."""
    chance, count = random.Random(7), campaign.of(1500, 12_000)
    statuses, wrong = Counter[int](), list[str]()
    for _ in range(count):
        answer = target.http.request(**odd_request(chance, trained[1][0]))
        statuses[answer.status_code] += 1
        if not is_proper(answer):
            wrong.append(f"{answer.request.method} {answer.url}: {answer.status_code}")
    campaign.figure(
        "requests with packed, damaged or wrongly labelled bodies and odd addresses",
        target="every answer proper and below 500",
        measured=f"{count} requests, {len(wrong)} answers wrong",
        met=not wrong,
    )
    assert wrong == []
    assert {200, 201, 204, 400, 404, 405, 415, 422} <= set(statuses)
    assert "Traceback" not in target.log()


def test_a_fuzzer_finds_only_answers_that_the_document_describes(
    target: Server, trained: tuple[Path, list[str]], tmp_path: Path, campaign: Campaign
) -> None:
    examples = campaign.of(4, 400)
    options = ["--phases=examples,coverage,fuzzing,stateful", "--seed=7"]
    options += [f"--exclude-path={path}" for path in (STREAM, ENDLESS)]
    options += [f"--max-examples={examples}"]
    run = fuzz(target, trained[1], tmp_path / "fuzz", *options)
    least = campaign.of(800, 20_000)
    check(run, target, campaign, "generated requests while nothing trains", least)
    paths = httpx2.get(f"{target.url}/openapi.json").json()["paths"]
    operations = sum(len(path) for path in paths.values())
    assert f"Selected: {operations - 2}/{operations}" in run.text
    for path in HIT:
        assert re.search(rf"path=/v1/{path} status=200 ", unquote(run.log)), path


def test_a_fuzzer_finds_no_flaw_while_workers_train_what_it_submits(
    trained: tuple[Path, list[str]], datasets_dir: Path, tmp_path: Path, campaign: Campaign
) -> None:
    if not campaign.full:
        pytest.skip("the small version sends its requests while nothing trains")
    limits = {"MLP_CONCURRENT_JOBS": "2", "MLP_KEEP_JOBS": "50", "MLP_MAX_JOB_FLOPS": "1e11"}
    server = Server(trained[0], datasets_dir, **limits, MLP_MAX_PARAMETERS="100000").start()
    options = ["--phases=fuzzing,stateful", "--max-examples=150"]
    options += [f"--exclude-path={path}" for path in (STREAM, ENDLESS)]
    run = fuzz(server, trained[1], tmp_path / "fuzz", *options, "--seed=7")
    server.stop()
    check(run, server, campaign, "generated requests while workers train", 2000)
    assert "worker_started" in run.log
