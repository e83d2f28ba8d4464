"""Limits the number of concurrent predictions; further ones are refused before any work is done."""

import asyncio
import math
import time
from collections import deque
from functools import cache

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.predict_input import is_large
from service.api.predict_route import is_prediction
from service.api.problem_responses import MEDIA_TYPE, problem
from service.api.public_path import ROOT_PATH
from service.domain.request_facts import current_id
from service.server import request_id
from service.server.request_guard import SECURITY_HEADERS

MAX_LARGE = 4
"""Most concurrent predictions with large bodies."""
MAX_WAIT_SECONDS = 3
"""The longest Retry-After; a client that comes back later may find its idle connection closed."""
FEW_REFUSALS, MANY_REFUSALS = 50, 200
"""Refusals per second below which Retry-After shrinks, and above which it grows."""
STARTS_PER_ITERATION = 32
"""Predictions that may start in one iteration of the event loop."""
REFUSED = "refused"
"""Key that marks the scope of a refused request, so that HttpProtocol throttles its connection."""
DETAIL = (
    "As many predictions are in progress as MLP_MAX_PREDICTIONS allows; try again after the number "
    "of seconds that Retry-After gives."
)


class Admission:
    """Three layers of the HTTP stack that answer 503 with Retry-After to excess predictions.

    `refuse_when_full` is the outermost layer: as long as no slot is free, a refusal must cost a
    small part of a prediction, or a flood of refusals would slow down the predictions in progress.
    `begin` comes after authentication, and lets predictions pass in turns. `limit` takes the slots,
    of which large requests may take only a few; the quick path lies between the two, because the
    event loop makes its predictions one at a time and needs no slot for them.
    """

    def __init__(self, max_predictions: int) -> None:
        self._free = max_predictions
        self._free_for_large = min(max_predictions, MAX_LARGE)
        self.refused = 0
        """Number of refused predictions since the start."""
        self._backoff = Backoff()
        self._turns = Turns(STARTS_PER_ITERATION)

    def refuse_when_full(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind a check that costs next to nothing."""

        async def check(scope: Scope, receive: Receive, send: Send) -> None:
            if not self._free and _is_prediction(scope):
                await self._refuse(scope, send, request_id.chosen(scope["headers"]))
            else:
                await app(scope, receive, send)

        return check

    def begin(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind a gate where each prediction waits for its turn, or is refused."""

        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            if not _is_prediction(scope):
                await app(scope, receive, send)
                return
            large = _is_large(scope)
            if not self._is_full(large):
                # A client that sends a small body slowly takes no slot in the meantime.
                whole = receive if large else await _read_body(receive)
                await self._turns.wait()
                if not self._is_full(large):
                    await app(scope, whole, send)
                    return
            await self._refuse(scope, send, current_id() or request_id.new())

        return wait

    def limit(self, app: ASGIApp) -> ASGIApp:
        """Return `app` behind a gate that gives each prediction a slot, or refuses it."""

        async def admit(scope: Scope, receive: Receive, send: Send) -> None:
            if not _is_prediction(scope):
                await app(scope, receive, send)
                return
            large = _is_large(scope)
            if self._is_full(large):
                await self._refuse(scope, send, current_id() or request_id.new())
                return
            self._take(1, large)
            try:
                await app(scope, receive, send)
            finally:
                self._take(-1, large)

        return admit

    async def _refuse(self, scope: Scope, send: Send, id_: str) -> None:
        self.refused += 1
        scope[REFUSED] = True
        seconds = self._backoff.count_refusal(time.monotonic())
        large = _is_large(scope)  # the rest of a large body is not even read
        await _refusal(seconds, large, ROOT_PATH.get()).send(send, id_)

    def _is_full(self, large: bool) -> bool:
        return not self._free or (large and not self._free_for_large)

    def _take(self, slots: int, large: bool) -> None:
        self._free -= slots
        self._free_for_large -= slots * large


class Turns:
    """Lets a number of tasks pass in each iteration of the event loop; the rest wait in order.

    A prediction of the quick path occupies the loop for half a millisecond. A thousand that arrive
    together, or have waited for the same thing, would delay every other request by half a second
    in each iteration that it needs.
    """

    def __init__(self, per_iteration: int) -> None:
        self._per_iteration = self._left = per_iteration
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait until one more task may pass."""
        loop = asyncio.get_running_loop()
        if self._left == self._per_iteration:
            loop.call_soon(self._next_iteration)
        if self._left and not self._waiting:
            self._left -= 1
        else:
            self._waiting.append(loop.create_future())
            await self._waiting[-1]

    def _next_iteration(self) -> None:
        passing = min(self._per_iteration, len(self._waiting))
        self._left = self._per_iteration - passing
        for _ in range(passing):
            waiting = self._waiting.popleft()
            if not waiting.done():  # it is done if its request has been cancelled
                waiting.set_result(None)
        if passing:
            asyncio.get_running_loop().call_soon(self._next_iteration)


class Backoff:
    """Chooses the Retry-After of refusals so that retries arrive at a bearable rate."""

    def __init__(self) -> None:
        self._seconds, self._refusals, self._period_start = 1, 0, 0.0

    def count_refusal(self, now: float) -> int:
        """Count a refusal at the time `now`, in seconds; return its Retry-After, in seconds."""
        passed = now - self._period_start
        if passed >= 1:
            rate = self._refusals / passed
            if rate > MANY_REFUSALS:
                grown = math.ceil(self._seconds * rate / MANY_REFUSALS)
                self._seconds = min(MAX_WAIT_SECONDS, grown)
            elif rate < FEW_REFUSALS:
                self._seconds = max(1, self._seconds - int(passed))
            self._refusals, self._period_start = 0, now
        self._refusals += 1
        return self._seconds


@cache
def _refusal(seconds: int, large: bool, _root_path: str) -> "Refusal":
    """Return the refusal, made once for each path prefix in its problem's type."""
    return Refusal(seconds, large=large)


class Refusal:
    """A refusal that is written once, except for the id of the request."""

    def __init__(self, seconds: int, *, large: bool) -> None:
        headers = {**SECURITY_HEADERS, "Retry-After": str(seconds)}
        if large:
            headers["Connection"] = "close"
        place = request_id.new()
        found = problem("overloaded", DETAIL).model_copy(update={"request_id": place})
        # Not `answer`, which would write the id of the request that is being answered.
        body = found.model_dump_json(exclude_none=True)
        response = Response(body, found.status, headers, media_type=MEDIA_TYPE)
        self._status = response.status_code
        self._headers = [each for each in response.raw_headers if each[0] != b"content-length"]
        self._before, self._after = bytes(response.body).split(place.encode())

    async def send(self, send: Send, id_: str) -> None:
        """Answer the request with this id."""
        encoded = id_.encode()
        body = b"".join((self._before, encoded, self._after))
        own = (b"content-length", str(len(body)).encode()), (b"request-id", encoded)
        headers = [*self._headers, *own]
        start = {"type": "http.response.start", "status": self._status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})


class Replay:
    """A `receive` that yields a message with a whole body, then what another one yields."""

    __slots__ = ("_receive", "message")

    def __init__(self, message: Message, receive: Receive) -> None:
        self._receive = receive
        self.message: Message | None = message
        """What the next call will yield, if nothing has been received yet."""

    async def __call__(self) -> Message:
        message, self.message = self.message, None
        return message or await self._receive()


async def _read_body(receive: Receive) -> Replay:
    """Wait for the whole body; return a `receive` that yields it in one message."""
    message = await receive()
    if message.get("more_body"):
        parts = []
        while message.get("more_body"):
            parts.append(message["body"])
            message = await receive()
        if message["type"] == "http.request":
            message["body"] = b"".join([*parts, message["body"]])
    return Replay(message, receive)


def _is_large(scope: Scope) -> bool:
    length = dict(scope["headers"]).get(b"content-length", b"")
    return is_large({"content-length": length.decode("latin-1")})


def _is_prediction(scope: Scope) -> bool:
    return scope["type"] == "http" and is_prediction(scope["method"], scope["path"])
