"""A server with more prediction requests than it can serve stays near its peak throughput.

It refuses the rest.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from service.server.admission import (
    FEW_REFUSALS,
    MANY_REFUSALS,
    MAX_WAIT_SECONDS,
    Backoff,
    Turns,
)
from tests.support.campaign import Campaign
from tests.support.load import Load, Plan, Seen, get, post, quantile
from tests.support.server_process import Server, resident

PREDICT = "/v1/models/latest/predict"
MEGABYTES = 250
Predict = Callable[..., Load]


@pytest.fixture(scope="module")
def pinned(target: Server) -> Iterator[Server]:
    """The server on the first core; clients and this process run on the last."""
    cores = os.sched_getaffinity(0)
    pin(target, {min(cores)})
    os.sched_setaffinity(0, {max(cores)})
    yield target
    os.sched_setaffinity(0, cores)
    pin(target, cores)


def pin(server: Server, cores: set[int]) -> None:
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


@pytest.fixture
def predict(pinned: Server) -> Predict:
    """Return a function that starts clients which request predictions.

    Their image is normalised again, unless the path says otherwise: the quick path would answer an
    image in MNIST's form in less time than a few refusals take.
    """
    picture = pinned.http.get("/v1/datasets/mnist/test/7.png").content
    core = max(os.sched_getaffinity(0))

    def start(path: str = f"{PREDICT}?normalize=always", **plan: Any) -> Load:
        return Load(Plan(pinned.port, post(path, picture, "image/png"), core=core, **plan))

    return start


def control(pinned: Server, job: str, seconds: float) -> list[float]:
    """Read, pause and resume a job repeatedly; return how long each request took."""
    took, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        for ask in (pinned.http.get, pinned.http.post, pinned.http.post):
            action = "" if ask == pinned.http.get else ("/pause", "/resume")[len(took) % 3 - 1]
            started = time.monotonic()
            answer = ask(f"/v1/jobs/{job}{action}")
            took.append(time.monotonic() - started)
            assert answer.status_code == 200, answer.text
            time.sleep(0.1)
    return took


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def test_excess_clients_are_refused_and_the_rest_are_served(
    campaign: Campaign, pinned: Server, predict: Predict
) -> None:
    """The machine's speed changes from minute to minute, so each round measures the peak again."""
    rounds, seconds = campaign.of((1, 3), (5, 16))
    clients = campaign.of(100, 1000)
    crowd, fast = f"{clients} concurrent clients", "twice the sustained rate"
    job = pinned.submit(preset="mlp-relu")
    parts: dict[str, list[float]] = {crowd: [], fast: []}
    refusals: dict[str, list[float]] = {crowd: [], fast: []}
    controls, peaks = list[float](), list[float]()

    def seen(**plan: Any) -> Seen:
        load = predict(seconds=seconds, **plan)
        controls.extend(control(pinned, job, seconds))
        return load.result()

    for _ in range(rounds):
        peaks.append(max(1.0, seen(clients=16).rate("200")))
        for name, rate in ((crowd, 0.0), (fast, 2 * peaks[-1])):
            found = seen(clients=clients, patient=0.5, rate=rate)
            assert set(found.latencies) <= {"200", "503", "no client left"}, name
            parts[name].append(found.rate("200") / peaks[-1])
            refusals[name] += found.latencies.get("503", [])
    for name, part in parts.items():
        note_overload(campaign, name, part, median(peaks), refusals[name])
    slow = note_control(campaign, "meanwhile", controls)
    held = resident(pinned.pid)
    campaign.figure(
        "memory", target=f"{MEGABYTES} MB", measured=f"{held:.0f} MB", met=held < MEGABYTES
    )
    assert sum(map(len, refusals.values()))
    assert min(map(median, parts.values())) >= campaign.of(0.3, 0.5)
    assert slow < 5
    assert held < MEGABYTES


def note_overload(
    campaign: Campaign, name: str, parts: list[float], peak: float, refusals: list[float]
) -> None:
    campaign.figure(
        f"predictions made with {name} (median of {len(parts)})",
        target="80 % of the peak",
        measured=f"{median(parts):.0%} of {peak:.0f} a second",
        met=median(parts) >= 0.8,
    )
    usual, p99 = quantile(refusals, 0.5), quantile(refusals, 0.99)
    campaign.figure(
        f"a refusal with {name} (median, p99)",
        target="50 ms (median)",
        measured=f"{milliseconds(usual)}, {milliseconds(p99)}",
        met=usual <= 0.05,
    )


def note_control(campaign: Campaign, when: str, controls: list[float]) -> float:
    """Note the 99th percentile of the seconds, and return it."""
    slow = quantile(controls, 0.99)
    campaign.figure(
        f"p99 of reading, pausing and resuming a job {when}",
        target="1 s",
        measured=milliseconds(slow),
        met=slow <= 1,
    )
    return slow


def test_predictions_of_the_quick_path_are_never_refused_and_leave_room(
    campaign: Campaign, pinned: Server, predict: Predict
) -> None:
    rounds, seconds = campaign.of((3, 1), (5, 8))
    clients = campaign.of(100, 1000)
    job = pinned.submit(preset="mlp-relu")
    parts, slowest, peaks = list[float](), list[float](), list[float]()
    controls: list[float] = []
    for _ in range(rounds):
        peaks.append(max(1.0, predict(PREDICT, clients=16, seconds=seconds).result().rate("200")))
        load = predict(PREDICT, clients=clients, seconds=seconds)
        controls += control(pinned, job, seconds)
        found = load.result()
        assert set(found.latencies) == {"200"}
        parts.append(found.rate("200") / peaks[-1])
        all_latencies = found.latencies["200"] + found.late
        slowest.append(quantile(all_latencies, 0.99) / quantile(all_latencies, 0.5))
    campaign.figure(
        f"predictions of the quick path for {clients} clients (median of {rounds})",
        target="80 % of the peak",
        measured=f"{median(parts):.0%} of {median(peaks):.0f} a second",
        met=median(parts) >= 0.8,
    )
    campaign.figure(
        "their p99, in medians",
        target="4",
        measured=f"{median(slowest):.1f}",
        met=median(slowest) <= 4,
    )
    assert median(slowest) < 15, "some are served again and again while others wait"
    assert note_control(campaign, "while the quick path predicts", controls) < 5
    assert median(parts) >= campaign.of(0.3, 0.5)


def test_a_refusal_names_the_reason_and_the_wait_and_is_counted(
    pinned: Server, predict: Predict
) -> None:
    load = predict(clients=200, seconds=6, patient=0.0)
    refused = None
    end = time.monotonic() + 10
    while refused is None and time.monotonic() < end:
        answer = pinned.http.post(PREDICT, content=b"x", headers={"Content-Type": "image/png"})
        refused = answer if answer.status_code == 503 else None
    load.result()
    assert refused, "nobody was refused"
    assert 1 <= int(refused.headers["Retry-After"]) <= MAX_WAIT_SECONDS
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.json()["code"] == "overloaded"
    metrics = pinned.http.get("/metrics").text
    counted = re.search(r"^mlp_predictions_refused_total\S* (\S+)$", metrics, re.MULTILINE)
    assert counted, metrics
    assert float(counted[1]) >= 1
    assert "predict status=503" not in pinned.log()


def test_retry_after_grows_while_many_are_refused_and_shrinks_again() -> None:
    wait, now = Backoff(), 1000.0

    def second(refusals: int) -> int:
        nonlocal now
        waits = [wait.count_refusal(now + number / refusals) for number in range(refusals)]
        now += 1
        return waits[-1]

    many, some, few = 2 * MANY_REFUSALS, (FEW_REFUSALS + MANY_REFUSALS) // 2, FEW_REFUSALS // 2
    assert second(many) == 1
    assert [second(some), second(some)] == [2, 2]
    assert [second(many) for _ in range(MAX_WAIT_SECONDS + 1)][-1] == MAX_WAIT_SECONDS
    assert [second(few) for _ in range(MAX_WAIT_SECONDS)][-1] == 1


def test_a_limited_number_passes_per_iteration_and_the_rest_follow_in_order() -> None:
    turns, passed = Turns(3), list[int]()

    async def ask(number: int) -> None:
        await turns.wait()
        passed.append(number)

    async def ask_all() -> None:
        tasks = [asyncio.create_task(ask(number)) for number in range(10)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        for _ in range(9):
            before = len(passed)
            await asyncio.sleep(0)
            assert len(passed) - before <= 3
        await ask(10)

    asyncio.run(ask_all())
    assert passed == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_long_requests_leave_room_for_short_ones(pinned: Server, predict: Predict) -> None:
    """Ten thousand unusual images in a request are legitimate, but they take seconds."""
    rows = [[(7 * x * y) % 256 for x in range(9)] for y in range(9)]
    body = json.dumps({"inputs": [{"pixels": rows}] * 300}).encode()
    assert len(body) > 64 * 1024
    long = Load(Plan(pinned.port, post(PREDICT, body, "application/json"), clients=8, seconds=3))
    time.sleep(0.5)
    short = predict(clients=2, seconds=2).result()
    assert short.quantile("200", 0.5) < 2
    assert set(short.latencies) == {"200"}
    seen = long.result()
    assert {"200", "503"} >= set(seen.latencies)
    assert seen.latencies.get("503")


def test_the_load_sends_requests_at_the_planned_rate(pinned: Server) -> None:
    seen = Load(Plan(pinned.port, get("/livez"), clients=20, seconds=1, rate=20)).result()
    assert set(seen.latencies) == {"200"}
    assert 5 < len(seen.latencies["200"]) < 40
