"""Tells the other users of a shared database that this host is there."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from service import __version__
from service.domain.errors import StoreBroken
from service.store.hosts import SEE_SECONDS, HostStore

FORGET_EVERY = 6
"""The leader forgets lost hosts once in so many times that it records itself."""

RETRY_SECONDS = 1.0
"""How often it tries to record itself, until that has succeeded."""
STOP_SECONDS = 5.0
"""How long the end of the process waits for a database that does not answer."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Me:
    """This host."""

    id: str
    """The identifier of its data directory, which a restart does not change."""
    slots: int
    """How many jobs are trained here at the same time."""
    memory: int
    """Bytes of the largest job that is trained here."""


class Presence:
    """Keeps the record of this host in a thread of its own."""

    def __init__(self, hosts: HostStore, me: Me, is_leading: Callable[[], bool]) -> None:
        """Create it; nothing happens before `start`.

        Args:
            hosts: where the record is.
            me: what the record says.
            is_leading: asks whether this host leads, which forgets those that are lost.

        """
        self._hosts, self._me, self._is_leading = hosts, me, is_leading
        self._recorded: Me | None = None
        """What the record says, as far as this process knows."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Record this host before it does anything else, and from time to time."""
        self._record()
        self._thread.start()

    def retire(self) -> None:
        """Say from now on that this process trains nothing."""
        self._me = replace(self._me, slots=0)

    def stop(self) -> None:
        """Delete the record, after the thread has ended."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)
        try:
            self._hosts.leave(self._me.id)
        except StoreBroken as exc:  # others see that nobody updates the record
            logger.warning("host_left_unrecorded", error=str(exc))

    def _run(self) -> None:
        times = 0
        while not self._stopped.wait(SEE_SECONDS if self._recorded == self._me else RETRY_SECONDS):
            times += 1
            self._record(forgets=times % FORGET_EVERY == 0)

    def _record(self, *, forgets: bool = False) -> None:
        try:
            me = self._me
            if self._recorded != me or not self._hosts.see(me.id):
                self._hosts.join(me.id, socket.gethostname(), me.slots, me.memory, __version__)
                self._recorded = me
            if forgets and self._is_leading():
                self._hosts.forget_lost()
        except StoreBroken as exc:
            logger.warning("host_unrecorded", error=str(exc))
