"""A client of the stream of all jobs, in a thread of its own."""

import json
import threading
from typing import Any

import httpx2

from tests.support.live_service import Sent, messages
from tests.support.server_process import eventually


class StreamListener:
    """Reads `/v1/events` until the stream ends, and keeps what was sent."""

    def __init__(
        self, http: httpx2.Client, query: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.messages: list[Sent] = []
        self.ended = threading.Event()
        self.status = 0
        self._arguments = (http, f"/v1/events{query}", headers or {})
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        http, path, headers = self._arguments
        try:
            with http.stream("GET", path, headers=headers) as answer:
                self.status = answer.status_code
                for message in messages(answer.iter_lines()):
                    self.messages.append(message)
        except httpx2.TransportError:
            pass  # the server was killed
        finally:
            self.ended.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of all events of a kind."""
        return [json.loads(message.data) for message in self.messages if message.event == kind]

    def ids(self) -> list[int]:
        """Return the ids of all events that happened to a job."""
        found = [it for it in self.messages if it.id and it.event not in ("hello", "ping")]
        return [int(message.id or 0) for message in found]

    def hello(self) -> dict[str, Any]:
        return eventually(lambda: self.of("hello"), "the first event", 20)[0]

    def wait_for(self, kind: str, **values: Any) -> dict[str, Any]:
        """Wait for an event of a kind with these values; return its data."""

        def look() -> list[dict[str, Any]]:
            return [it for it in self.of(kind) if {**it, **values} == it]

        return eventually(look, f"{kind} with {values}", 20)[0]

    def end(self) -> None:
        assert self.ended.wait(20), self.messages[-3:]
