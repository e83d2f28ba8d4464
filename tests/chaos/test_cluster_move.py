"""Moves between one machine and several that are killed anywhere and repeated."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from service.settings import Settings
from service.storage import Storage
from service.store.moving import MARKED
from service.store.sql.database import Database
from tests.support.campaign import Campaign
from tests.support.job_records import query
from tests.support.moved_service import empty, files, make_original, opened, tables

FINISH_SECONDS = 60
"""Until then a killed move must no longer stand in the way of the next one."""


@pytest.fixture
def settings(postgres_url: str, bucket_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "api", database_url=postgres_url, artifacts_url=bucket_url)


def test_moves_that_are_killed_anywhere_lose_nothing(
    settings: Settings, tmp_path: Path, campaign: Campaign
) -> None:
    source = tmp_path / "source"
    make_original(source)
    draw = random.Random(18)
    wrong, waited, killed = list[str](), list[float](), 0
    began = time.monotonic()
    with move("--from", source, settings) as process:
        assert process.wait() == 0
    whole = time.monotonic() - began
    with opened(source) as database:
        expected = tables(database), files(source)
    for number in range(campaign.of(1, 30)):
        direction = ("--from", "--to")[number % 2]
        place = tmp_path / f"back-{number}" if direction == "--to" else source
        if direction == "--from":
            empty(settings)
            url = f"{settings.artifacts_url}/{number}"
            settings = settings.model_copy(update={"artifacts_url": url})
        with move(direction, place, settings) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0.3, 1) * whole)
            process.kill()
        killed += process.returncode != 0
        began = time.monotonic()
        if not is_finished(direction, place, settings):
            finish(direction, place, settings)
            waited.append(time.monotonic() - began)
        found = what_is_there(direction, place, settings, source)
        if found != expected:
            wrong.append(f"{number} {direction}")
    campaign.figure("moves that were killed", target="1", measured=killed, met=killed > 0)
    measured = f"{len(wrong)} of {number + 1}"
    campaign.figure(
        "services with other rows or files", target="0", measured=measured, met=not wrong
    )
    slowest = max(waited, default=0.0)
    campaign.figure(
        "seconds until the next move has finished",
        target=str(FINISH_SECONDS),
        measured=f"{slowest:.0f} at most, {whole:.0f} without a kill",
        met=slowest <= FINISH_SECONDS,
    )
    assert killed
    assert not wrong


def move(direction: str, place: Path, settings: Settings) -> "subprocess.Popen[bytes]":
    """Begin to move a service between a data directory and what is shared."""
    given = {
        "MLP_DATA_DIR": str(settings.data_dir),
        "MLP_DATABASE_URL": str(settings.database_url),
        "MLP_ARTIFACTS_URL": str(settings.artifacts_url),
    }
    command = [sys.executable, "-m", "service", "move", direction, str(place)]
    environment = {**os.environ, **given}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def is_finished(direction: str, place: Path, settings: Settings) -> bool:
    """Return whether all rows are at the target, and are said to be."""
    if direction == "--to" and not (place / "jobs.sqlite3").exists():
        return False
    target = settings if direction == "--from" else Settings(data_dir=place)
    with closing(Storage(target)) as storage:
        return has_rows(storage.database)


def has_rows(database: Database) -> bool:
    has_all = database.has_table("jobs") and tables(database)["jobs"].rows > 0
    assert not has_all or query(database, MARKED) == [], "rows come with the end of the move"
    return has_all


def finish(direction: str, place: Path, settings: Settings) -> None:
    """Repeat a move until it succeeds: the one that was killed is seen as a user for a while."""
    deadline = time.monotonic() + FINISH_SECONDS
    while True:
        with move(direction, place, settings) as process:
            _, told = process.communicate()
        if process.returncode == 0:
            return
        assert b"servers or hosts use" in told, told
        assert time.monotonic() < deadline, told
        time.sleep(0.5)


def what_is_there(
    direction: str, place: Path, settings: Settings, source: Path
) -> tuple[object, object]:
    """Return the rows and the files at the target, in the form of a data directory."""
    if direction == "--to":
        with opened(place) as database:
            return tables(database), files(place)
    with closing(Storage(settings)) as storage:
        return tables(storage.database), files(source)
