"""What must hold after each event of a simulation, and at its end."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlp_client.job_state import State
from service.domain.errors import NoLatestModel
from service.store.attempts import KEPT_CHECKPOINTS
from service.store.queue import MAX_LOST_WORKERS
from tests.support.stage import EPOCHS

if TYPE_CHECKING:
    from tests.support.simulation import World

# ARCHITECTURE.md, "The life of a job".
MOVES = {
    None: {"queued"},
    "queued": {"running", "paused", "cancelled"},
    "running": {"pausing", "cancelling", "queued", "succeeded", "failed"},
    "pausing": {"running", "cancelling", "paused", "succeeded", "failed"},
    "paused": {"queued", "cancelled"},
    "cancelling": {"cancelled"},
}
ROWS = """SELECT number, id, state, attempt, lost_workers, epochs_done, batches_done, event_count,
    json_extract(reason, '$.code'), heartbeat, handle FROM jobs"""
EVENTS = "SELECT number, type, data FROM events WHERE job = ? AND number > ? ORDER BY number"


@dataclass
class Seen:
    """What the last look found of a job."""

    row: tuple[Any, ...]
    state: str | None = None
    attempt: int = 0
    events: int = 0
    epochs: int = 0


class Rules:
    """Looks at the jobs of a world, and remembers what it saw of each."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._seen: dict[str, Seen] = {}

    def _rows(self, statement: str, *values: object) -> list[Any]:
        found: list[Any] = self._world.stage.raw.execute(statement, values).fetchall()
        return found

    def look(self) -> None:
        """Check each job that has changed since the last look."""
        for row in self._rows(ROWS):
            seen = self._seen.setdefault(row[1], Seen(()))
            if row != seen.row:
                self._check_row(row, seen)
                self._check_events(row, seen)
                seen.row = row

    def _check_row(self, row: tuple[Any, ...], seen: Seen) -> None:
        number, id_, state, _, lost_workers, epochs_done, batches_done, _, code, *_ = row
        assert state in list(State)
        assert 0 <= lost_workers <= MAX_LOST_WORKERS, f"{lost_workers} lost workers"
        assert lost_workers < MAX_LOST_WORKERS or state == "failed", "five lost workers end a job"
        if (state, code) == ("failed", "worker_lost"):
            assert lost_workers == MAX_LOST_WORKERS, f"given up after {lost_workers} lost workers"
        assert (epochs_done, batches_done) <= self._world.trained[id_], "ahead of what was trained"
        keys = [key for (key,) in self._rows("SELECT key FROM checkpoints WHERE job = ?", number)]
        assert len(keys) <= KEPT_CHECKPOINTS, f"{len(keys)} checkpoints"
        assert set(keys) <= self._world.artifacts.files.keys(), (
            "a row names a checkpoint that is not there"
        )

    def _check_events(self, row: tuple[Any, ...], seen: Seen) -> None:
        """Check the events since the last look: numbers, moves, attempts, epochs."""
        number, _, state, attempt, _, _, _, count, *_ = row
        for event, type_, data in self._rows(EVENTS, number, seen.events):
            assert event == seen.events + 1, f"event {event} comes after {seen.events}"
            seen.events = event
            if type_ == "epoch":
                seen.epochs += 1
                assert json.loads(data)["epoch"] == seen.epochs, "epochs come once and in order"
            elif type_ == "state":
                self._check_move(json.loads(data), seen)
        assert (count, state, attempt) == (seen.events, seen.state, seen.attempt)

    def _check_move(self, data: dict[str, Any], seen: Seen) -> None:
        to, attempt = data["state"], data["attempt"]
        assert to in MOVES.get(seen.state, ()), f"{seen.state} became {to}"
        claimed = (seen.state, to) == ("queued", "running")
        assert attempt == seen.attempt + claimed, f"{seen.state} to {to}: attempt {attempt}"
        seen.state, seen.attempt = to, attempt
        self._world.happened[" ".join((to, (data["reason"] or {}).get("code", ""))).strip()] += 1

    def _check_latest(self) -> None:
        """Check which jobs learned something, and that `latest` is the last of those that ended."""
        asked = "SELECT id, learned FROM jobs WHERE state = 'succeeded' ORDER BY finish_number"
        ended = self._rows(asked)
        assert ended == [(id_, self._world.accuracy(id_) == 0.5) for id_, _ in ended]
        learned = [id_ for id_, verdict in ended if verdict]
        try:
            latest = self._world.jobs.latest()
        except NoLatestModel:
            assert not learned
        else:
            assert latest == learned[-1]

    def check_ends(self) -> None:
        """Check what must hold once all jobs have come to their ends."""
        self._check_latest()
        jobs = {id_ for (id_,) in self._rows("SELECT id FROM jobs")}
        owners = {key.split("/")[0] for key in self._world.artifacts.files}
        assert owners <= jobs, "a deleted job has left its files"
        rows = self._rows(f"{ROWS} WHERE state = 'succeeded'")
        for number, id_, _, _, _, epochs_done, *_ in rows:
            found = self._rows("SELECT number FROM epochs WHERE job = ?", number)
            assert sorted(one for (one,) in found) == list(range(1, EPOCHS + 1))
            assert epochs_done == EPOCHS
            _, saved = self._world.jobs.with_checkpoints(id_)
            assert (saved[0].epochs_done, saved[0].batches_done) == (EPOCHS, 0)
