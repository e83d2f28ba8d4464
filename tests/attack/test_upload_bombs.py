"""Uploads that unpack to far more than they seem are refused in little time and memory."""

from collections.abc import Iterator
from pathlib import Path

from tests.support.campaign import Campaign
from tests.support.measured_checks import Measured, measured_checks
from tests.support.upload_bombs import UploadBomb, bombs, bombs_by_directory

MEMORY, DIRECTORY_MEMORY = 300, 50
"""The most megabytes of the whole process, and those that reading a directory may add."""
SECONDS, DIRECTORY_SECONDS = 30, 1
"""The most seconds of processor time."""


Found = dict[UploadBomb, Measured]


def test_bombs_of_every_format_are_refused_in_little_time_and_memory(
    campaign: Campaign, tmp_path: Path
) -> None:
    found = set_off(campaign, tmp_path)
    told = [bomb for bomb, it in found.items() if it.is_told]
    campaign.figure(
        "bombs refused in words",
        target="all",
        measured=f"{len(told)} of {len(found)}",
        met=len(told) == len(found),
    )
    headed = {bomb: it for bomb, it in found.items() if bomb.by_directory}
    assert not over(
        campaign, "memory of a check", MEMORY, {bomb: it.peak for bomb, it in found.items()}
    )
    assert not over(
        campaign,
        "memory gained where a header or directory says enough",
        DIRECTORY_MEMORY,
        {bomb: it.gained for bomb, it in headed.items()},
    )
    slow = over(campaign, "seconds", SECONDS, {bomb: it.seconds for bomb, it in found.items()})
    slow += over(
        campaign,
        "seconds where a header or directory says enough",
        DIRECTORY_SECONDS,
        {bomb: it.seconds for bomb, it in headed.items()},
    )
    assert {bomb.name: it.refusal for bomb, it in found.items() if bomb not in told} == {}
    assert not (campaign.full and slow)  # beside other tests a processor is slower


def set_off(campaign: Campaign, folder: Path) -> Found:
    """Check the bombs one after another."""
    found: Found = {}
    with measured_checks() as checks:
        for bomb in chosen(campaign):
            path = folder / "sent"
            path.write_bytes(bomb.body())
            found[bomb] = checks.of(path)
            path.unlink()
    return found


def chosen(campaign: Campaign) -> Iterator[UploadBomb]:
    """Return all bombs, or those that are made and refused in a moment."""
    return bombs() if campaign.full else bombs_by_directory()


def over(campaign: Campaign, what: str, most: float, values: dict[UploadBomb, float]) -> list[str]:
    """Note the greatest of some values, and return the names of the bombs that are over a limit."""
    worst = max(values, key=values.__getitem__)
    found = [bomb.name for bomb, value in values.items() if value > most]
    measured = f"{values[worst]:.3g} ({worst.name}); {len(found)} of {len(values)} over"
    campaign.figure(f"{what}, at most", target=str(most), measured=measured, met=not found)
    return found
