"""Jobs are handled correctly in any order in which dispatchers, workers, clients and faults act."""

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.campaign import Campaign
from tests.support.simulation import ACTIONS, FAULTS, World, play, play_all, scene
from tests.support.stage import Stage

PROCESSES = 2
RARE = (
    "crash",
    "was replaced",
    "succeeded epochs_done",
    "succeeded learned_nothing",
    "failed internal",
    "cancelled user",
    "paused user",
    "queued shutdown",
    "queued worker_lost",
    "failed worker_lost",
    "queued store_unavailable",
    "found the store full",
    "round failed",
    "refused StoreFull",
)
"""Events that must have happened at least once; otherwise the simulation has shown nothing."""


def test_every_job_ends_correctly_in_any_order_of_events(campaign: Campaign) -> None:
    count = campaign.of(600, 20_000)
    started = time.monotonic()
    if campaign.full:
        parts = [range(first, count, PROCESSES * 5) for first in range(PROCESSES * 5)]
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            played = list(pool.map(play_all, parts))
    else:
        played = [play_all(range(count))]
    happened = sum((found for found, _ in played), start=Counter[str]())
    broken = [story for _, stories in played for story in stories]
    seconds = time.monotonic() - started
    steps = sum(happened.values())
    measured = f"{count} in {seconds:.0f} s, {steps} moves and steps of workers"
    target = "20 000 in 60 s" if campaign.full else "all"
    campaign.figure("orders of events played", target=target, measured=measured, met=seconds <= 60)
    campaign.figure("orders that break a rule", target="0", measured=len(broken), met=not broken)
    assert not broken, broken[0]
    assert [what for what in RARE if not happened[what]] == []


class Orders(RuleBasedStateMachine):
    """The same world, driven by hypothesis, which shrinks the failures that it finds."""

    stage: Stage

    @initialize(seed=st.integers(0, 9), dispatchers=st.integers(1, 2))
    def begin(self, seed: int, dispatchers: int) -> None:
        self.world = World(seed, self.stage, dispatchers=dispatchers)
        self.world.submit()

    @rule(action=st.sampled_from(ACTIONS), who=st.integers(0, 2))
    def ask(self, action: str, who: int) -> None:
        self.world.ask(action, who)

    @rule(who=st.integers(0, 3))
    def work(self, who: int) -> None:
        self.world.work(who)

    @rule(who=st.integers(0, 1), seconds=st.sampled_from((0.1, 1.0, 5.0)))
    def round(self, who: int, seconds: float) -> None:
        self.world.round(who, seconds)

    @rule(fault=st.sampled_from(FAULTS), who=st.integers(0, 3))
    def hit(self, fault: str, who: int) -> None:
        self.world.hit(fault, who)

    @rule()
    def submit(self) -> None:
        self.world.submit()

    @rule()
    def refuse(self) -> None:
        self.world.refuse()

    @rule()
    def fill(self) -> None:
        self.world.fill()

    @rule(who=st.integers(0, 1))
    def silence(self, who: int) -> None:
        self.world.silence(who)

    @invariant()
    def all_is_right(self) -> None:
        if hasattr(self, "world"):
            self.world.rules.look()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()


def test_no_order_that_hypothesis_finds_breaks_a_rule(campaign: Campaign) -> None:
    examples = campaign.of(20, 1_000)
    limits = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    what = f"searches by hypothesis ({examples} orders each) that broke a rule"
    with scene() as stage, campaign.cases(what) as case, case():
        run_state_machine_as_test(type("Orders", (Orders,), {"stage": stage}), settings=limits)


@pytest.mark.parametrize("seed", [0, 3, 724])
def test_the_same_seed_plays_the_same_events(seed: int) -> None:
    with scene() as stage:
        first, between, second = (play(number, stage).story for number in (seed, seed + 1, seed))
    assert first == second != between
