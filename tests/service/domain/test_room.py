"""Which job may start in the memory that is left, followed through whole queues."""

import random
from collections.abc import Iterator

import pytest

from service.domain.room import Room, Sized

ROOM = Room(together=100, alone=120)


@pytest.mark.parametrize(
    ("running", "first", "largest"),
    [
        ([], Sized(1, 50), 120),  # nothing runs, so also a job of more than the share may start
        ([], Sized(1, 110), 120),
        ([Sized(1, 30)], Sized(2, 70), 70),
        ([Sized(1, 30)], Sized(2, 71), 29),  # the first waits; 29 are left beside it later
        ([Sized(1, 80)], Sized(2, 60), 20),  # 40 beside the first later, but only 20 now
        ([Sized(1, 60), Sized(3, 30)], Sized(2, 60), 10),  # what overtook it counts then
        ([Sized(1, 60), Sized(3, 40)], Sized(2, 60), 0),
        ([Sized(3, 60)], Sized(2, 60), -20),
        ([Sized(1, 10)], Sized(2, 110), -10),  # it has to run alone, so nothing may start before
        ([Sized(1, 110)], Sized(2, 10), -10),
    ],
)
def test_what_may_start(running: list[Sized], first: Sized, largest: int) -> None:
    assert ROOM.largest(running, first) == largest


def run(queue: list[Sized], slots: int, draw: random.Random) -> Iterator[tuple[int, list[Sized]]]:
    """Start and end jobs in any order of their ends; yield each start and what ran before it."""
    waiting, running = list(queue), list[Sized]()
    while waiting:
        started = True
        while started and waiting and len(running) < slots:
            most = ROOM.largest(running, waiting[0])
            started = False
            for job in waiting:
                if job.bytes <= most:
                    yield job.number, list(running)
                    running.append(job)
                    waiting.remove(job)
                    started = True
                    break
        running.remove(draw.choice(running))  # fails if nothing runs although jobs wait


@pytest.mark.parametrize("seed", range(200))
def test_every_job_starts_and_their_memory_is_never_exceeded(seed: int) -> None:
    draw = random.Random(seed)
    queue = [Sized(n, draw.choice([5, 10, 30, 60, 90, 115])) for n in range(40)]
    started = []
    for number, running in run(queue, draw.randint(1, 6), draw):
        started.append(number)
        together = sum(job.bytes for job in running) + queue[number].bytes
        assert together <= (ROOM.together if running else ROOM.alone)
    assert sorted(started) == list(range(40))


@pytest.mark.parametrize("seed", range(50))
def test_a_large_job_waits_only_for_those_that_ran_when_it_became_the_first(seed: int) -> None:
    """However many small ones come behind it: as soon as the old ones have ended, it fits."""
    draw = random.Random(seed)
    old = [Sized(0, 40), Sized(1, 40)]
    large, small = Sized(2, 70), [Sized(3 + n, draw.choice([5, 10, 20])) for n in range(100)]
    running, overtook = list(old), 0
    for job in small:
        if job.bytes <= ROOM.largest(running, large):
            running.append(job)
            overtook += 1
        elif len(running) > 2 and draw.random() < 0.5:
            running.remove(draw.choice(running[2:]))
    assert overtook, "small ones start meanwhile"
    left = [job for job in running if job not in old]
    assert large.bytes <= ROOM.largest(left, large)
