"""How many predictions may be under way at once; more are refused before any work is done."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.predict_input import is_large
from service.api.problem_responses import answer, problem
from service.server.request_guard import HEADERS

PATH_END = "/predict"
MOST_LARGE = 4
MOST_SECONDS = 3
"""A client who comes back later may find its idle connection closed."""
FEW_REFUSALS, MANY_REFUSALS = 50, 200
"""A second; a few of them take the time of a prediction."""
PER_TURN = 32
"""Predictions that may begin in one turn of the event loop."""
REFUSED = "refused"
"""Marks the scope of a refused request, for the connection that it came from."""
DETAIL = (
    "As many predictions are under way as MLP_MAX_PREDICTIONS allows; ask again after as many "
    "seconds as Retry-After says."
)


class Admission:
    """Answers 503 with Retry-After to predictions beyond the number that may be under way.

    `before` lies around everything: while no place is free a refusal must cost a small part of a
    prediction, or a flood of them slows those that are under way. `around` lies behind the check of
    the key, and counts. Large requests have fewer places, of their own.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._free_for_large = min(most, MOST_LARGE)
        self.refused = 0
        self._wait = Wait()
        self._turns = Turns(PER_TURN)
        self._refusals = {
            (seconds, large): _refusal(seconds, large=large)
            for seconds in range(1, MOST_SECONDS + 1)
            for large in (False, True)
        }

    def before(self, app: ASGIApp) -> ASGIApp:
        async def look(scope: Scope, receive: Receive, send: Send) -> None:
            if not self._free and _is_prediction(scope):
                await self._refuse(scope, receive, send)
            else:
                await app(scope, receive, send)

        return look

    def around(self, app: ASGIApp) -> ASGIApp:
        async def admit(scope: Scope, receive: Receive, send: Send) -> None:
            if not _is_prediction(scope):
                await app(scope, receive, send)
                return
            large = is_large(Headers(scope=scope))
            if not self._is_full(large):
                # A client that dawdles over a small body takes no place from others meanwhile.
                whole = receive if large else await _received(receive)
                await self._turns.one()
                if not self._is_full(large):
                    await self._count(large, app(scope, whole, send))
                    return
            await self._refuse(scope, receive, send)

        return admit

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.refused += 1
        scope[REFUSED] = True
        seconds = self._wait.after_one_more(time.monotonic())
        large = is_large(Headers(scope=scope))  # then the rest of it is not even read
        await self._refusals[seconds, large](scope, receive, send)

    def _is_full(self, large: bool) -> bool:
        return not self._free or (large and not self._free_for_large)

    async def _count(self, large: bool, answer: Awaitable[None]) -> None:
        self._free -= 1
        self._free_for_large -= large
        try:
            await answer
        finally:
            self._free += 1
            self._free_for_large += large


class Turns:
    """Lets so many pass in a turn of the event loop, the others in the next ones, in their order.

    A digit answered at once costs the loop half a millisecond: a thousand that arrive together, or
    have waited for the same, would hold up others for half a second, and these need several turns.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def one(self) -> None:
        """Wait until one more may pass."""
        loop = asyncio.get_running_loop()
        if self._left == self._most:
            loop.call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
        else:
            self._waiting.append(loop.create_future())
            await self._waiting[-1]

    def _next(self) -> None:
        passing = min(self._most, len(self._waiting))
        self._left = self._most - passing
        for _ in range(passing):
            waiting = self._waiting.popleft()
            if not waiting.done():  # or its request is being cancelled
                waiting.set_result(None)
        if passing:
            asyncio.get_running_loop().call_soon(self._next)


class Wait:
    """How many seconds refused clients are told to wait: as many as spread them thinly enough."""

    def __init__(self) -> None:
        self._seconds, self._refusals, self._begun = 1, 0, 0.0

    def after_one_more(self, now: float) -> int:
        """Count a refusal at the time `now`, in seconds, and return the wait."""
        passed = now - self._begun
        if passed >= 1:
            rate = self._refusals / passed
            if rate > MANY_REFUSALS:
                self._seconds = min(MOST_SECONDS, math.ceil(self._seconds * rate / MANY_REFUSALS))
            elif rate < FEW_REFUSALS:
                self._seconds = max(1, self._seconds - int(passed))
            self._refusals, self._begun = 0, now
        self._refusals += 1
        return self._seconds


def _refusal(seconds: int, *, large: bool) -> Response:
    headers = {**HEADERS, "Retry-After": str(seconds)}
    if large:
        headers["Connection"] = "close"
    return answer(problem("overloaded", DETAIL), headers)


async def _received(receive: Receive) -> Receive:
    """Wait for the whole body; return what hands it on in one piece."""
    parts, message = [], await receive()
    while message.get("more_body"):
        parts.append(message["body"])
        message = await receive()
    if message["type"] == "http.request":
        message["body"] = b"".join([*parts, message["body"]])
    waiting = [message]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _is_prediction(scope: Scope) -> bool:
    return bool(
        scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith(PATH_END)
    )


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Keep refusals out of the access log: a flood of them would fill it, and a line takes longer.

    Of uvicorn's arguments the third is the path, the last the status.
    """
    given = record.args
    if not isinstance(given, tuple) or len(given) != 5 or given[-1] != 503:
        return True
    return not str(given[2]).split("?")[0].endswith(PATH_END)
