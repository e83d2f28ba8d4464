"""Draws on the pad of the page, as a mouse, a finger or a pen does."""

import base64
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tests.support.browser import WatchedPage

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

Point = tuple[float, float]
"""Distances from the left and from the top of the pad, as fractions of it."""
SEVEN: Sequence[Point] = [(0.27, 0.24), (0.72, 0.23), (0.47, 0.84)]
ONE: Sequence[Point] = [(0.5, 0.2), (0.5, 0.8)]
READER = {"hidden": [32], "epochs": 4, "seed": 1, "name": "reader"}
"""Trained in about two seconds, and reads plain digits."""
STEPS = 8
"""Moves between two of the points."""


def _path(page: WatchedPage, points: Sequence[Point]) -> Iterator[tuple[float, float]]:
    """Yield places in the window between the points, the first and the last included."""
    box = page.tab.locator(".pad").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    yield places[0]
    for (left, top), (right, bottom) in itertools.pairwise(places):
        for step in range(1, STEPS + 1):
            share = step / STEPS
            yield left + (right - left) * share, top + (bottom - top) * share


def draw_with_mouse(page: WatchedPage, points: Sequence[Point]) -> None:
    path = list(_path(page, points))
    page.tab.mouse.move(*path[0])
    page.tab.mouse.down()
    for place in path[1:]:
        page.tab.mouse.move(*place)
    page.tab.mouse.up()


def draw_with_finger(page: WatchedPage, points: Sequence[Point]) -> None:
    def touch(kind: str, *touches: tuple[float, float]) -> dict[str, Any]:
        return {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in touches]}

    first, *path = _path(page, points)
    events = [touch("touchStart", first), *(touch("touchMove", place) for place in path)]
    _send(page, "Input.dispatchTouchEvent", [*events, touch("touchEnd")])


def draw_with_pen(page: WatchedPage, points: Sequence[Point]) -> None:
    def pen(kind: str, place: tuple[float, float]) -> dict[str, Any]:
        button = {"button": "left", "buttons": 1, "pointerType": "pen", "force": 0.5}
        return {"type": kind, "x": place[0], "y": place[1], "clickCount": 1, **button}

    first, *path = _path(page, points)
    events = [pen("mousePressed", first), *(pen("mouseMoved", place) for place in path)]
    _send(page, "Input.dispatchMouseEvent", [*events, pen("mouseReleased", path[-1])])


def _send(page: WatchedPage, command: str, events: Sequence[dict[str, Any]]) -> None:
    session: CDPSession = page.tab.context.new_cdp_session(page.tab)
    for event in events:
        session.send(command, event)
    session.detach()


PENS: dict[str, Callable[[WatchedPage, Sequence[Point]], None]] = {
    "mouse": draw_with_mouse,
    "finger": draw_with_finger,
    "pen": draw_with_pen,
}


# --- What is seen ---------------------------------------------------------------------------------


def bars(page: WatchedPage) -> list[float]:
    """Return the heights of the ten bars, from 0 to 1."""
    return [
        float(value)
        for value in page.js(
            "[...document.querySelectorAll('.bars data')].map((each) => each.value || '0')"
        )
    ]


def settle(page: WatchedPage) -> None:
    """Wait until nothing is under way and the bars have come to rest."""
    before: list[float] = []
    for _ in range(200):
        page.tab.wait_for_timeout(150)
        now = bars(page)
        if now == before and not page.hanging():
            return
        before = now
    raise AssertionError("the bars never came to rest")


def verdict(page: WatchedPage) -> int:
    """Wait for the answer about the ink on the pad, and return the digit that is read."""
    page.until("document.querySelector('.verdict:not(.old) strong')", "a verdict")
    settle(page)
    return int(page.text(".verdict strong"))


def pixels(page: WatchedPage, which: int) -> list[list[int]]:
    """Return red, green and blue of each pixel of a small picture beside the pad.

    0 is what the network sees, and 1 is why it answers so.
    """
    found: list[int] = page.js(
        """(which) => {
          const canvas = document.querySelectorAll('.eye canvas')[which];
          return [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data];
        }""",
        which,
    )
    return [found[at : at + 3] for at in range(0, len(found), 4)]


def copied_picture(page: WatchedPage) -> bytes:
    """Return the picture in what the page copies as curl."""
    page.tab.get_by_role("button", name="Copy as curl").click()
    copied = (
        "[...document.querySelectorAll('.notice')].some((each) => /Copied/.test(each.innerText))"
    )
    page.until(copied, "the word that it is copied")
    command = page.js("navigator.clipboard.readText()")
    [text] = re.findall(r"printf %s '([^']+)' \| base64 -d", command)
    return base64.b64decode(text)
