"""Writes what a listener to all jobs may see as server-sent events, most of it once for all."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from fastapi.sse import format_sse_event

from service.api.dependencies import Services
from service.api.job_records import job_record, progress
from service.api.public_path import ROOT_PATH
from service.api.system import Observed, system_record
from service.api.ticks import Saved, Tick
from service.domain.principal import Principal
from service.store.event_log import JOB_EVENTS, Logged, LoggedEvent
from service.store.stored_job import StoredJob

RETRY_MILLISECONDS = 1000
"""How long a browser waits before it reconnects. It is sent with the first event, because some
clients take a text that only says this for an event without data."""


class Part(NamedTuple):
    """A piece of the stream, for those who may see the jobs of an owner."""

    owner: str | None
    text: bytes


class StreamTexts:
    """What one listener sees, as text."""

    def __init__(self, services: Services, principal: Principal) -> None:
        self._services, self._principal = services, principal
        self._root_path = ROOT_PATH.get()
        self._view = (principal.owner, principal.sees_everything, self._root_path)
        self._session = (principal.owner, principal.scopes, principal.expires_at)
        self._sent: dict[str, bytes] = {}
        """The last text of each kind that is sent only when it has changed."""

    def hello(self, tick: Tick, cursor: int, *, reset: bool) -> bytes:
        """Return the first event: where the stream begins, and the state of the server."""
        system = self._system(tick)
        self._sent["system"] = system
        data: dict[str, Any] = {"instance": self._services.instance()}
        data |= {"web": self._services.web_digest(), "cursor": cursor, "reset": reset}
        text = f'{_json(data)[:-1]},"system":{system.decode()}}}'
        return format_sse_event(
            event="hello", data_str=text, id=str(cursor), retry=RETRY_MILLISECONDS
        )

    def history(self, logged: Logged) -> bytes:
        """Return events of the past."""
        return self._seen(_event_parts(logged, self._root_path))

    def now(self, tick: Tick) -> bytes:
        """Return how far the jobs are that train, and their checkpoints."""
        saved = [Saved(job, kept=job.id in tick.kept) for job in tick.active]
        return self._seen(_checkpoint_parts(saved)) + self._progress(tick)

    def news(self, tick: Tick) -> bytes:
        """Return everything that is new for this listener, which is often nothing."""
        pieces = [cast(bytes, tick.once(("news", self._view), lambda: self._happened(tick)))]
        pieces += [self._progress(tick), self._changed_system(tick)]
        if tick.pings:  # with the cursor, which events of others move as well
            pieces.append(format_sse_event(event="ping", data_str="{}", id=str(tick.cursor)))
        return b"".join(pieces)

    def _happened(self, tick: Tick) -> bytes:
        root = self._root_path
        parts = tick.once(("events", root), lambda: _event_parts(tick.logged, root))
        saved = tick.once("saved", lambda: _checkpoint_parts(tick.saved))
        return self._seen([*parts, *saved])

    def _seen(self, parts: Iterable[Part]) -> bytes:
        return b"".join(part.text for part in parts if self._principal.sees(part.owner))

    def _progress(self, tick: Tick) -> bytes:
        text = cast(bytes, tick.once(("progress", self._view), lambda: self._all_progress(tick)))
        return text if text and self._is_new("progress", text) else b""

    def _all_progress(self, tick: Tick) -> bytes:
        parts = tick.once("progress", lambda: _progress_parts(tick.active))
        seen = [part.text for part in parts if self._principal.sees(part.owner)]
        return _message("progress", "{" + b",".join(seen).decode() + "}") if seen else b""

    def _changed_system(self, tick: Tick) -> bytes:
        text = cast(bytes, tick.once(("system", self._session), lambda: self._system(tick)))
        return _message("system", text.decode()) if self._is_new("system", text) else b""

    def _system(self, tick: Tick) -> bytes:
        found = Observed(tick.counts, tick.checks, tick.hosts)
        record = system_record(self._services, self._principal, found)
        return record.model_dump_json(exclude_unset=True).encode()

    def _is_new(self, kind: str, text: bytes) -> bool:
        is_new = self._sent.get(kind) != text
        self._sent[kind] = text
        return is_new


def _event_parts(logged: Logged, root_path: str) -> list[Part]:
    records = {
        id_: job_record(job, root_path, has_names=False).model_dump_json()
        for id_, job in logged.jobs.items()
    }
    return [
        Part(
            event.owner,
            format_sse_event(event=type_, data_str=data, id=str(event.seq)),
        )
        for event in logged.events
        for type_, data in [_type_and_data(event, records)]
    ]


def _type_and_data(event: LoggedEvent, records: dict[str, str]) -> tuple[str, str]:
    if event.type in JOB_EVENTS:
        return "job", records[event.job]
    if event.type == "deleted":
        return "job", _json({"id": event.job, "deleted": True})
    return event.type, _json({"job": event.job, **event.data, "at": event.at.isoformat()})


def _checkpoint_parts(saved: Iterable[Saved]) -> list[Part]:
    return [
        Part(job.owner, _message("checkpoint", _json(values)))
        for job, kept in saved
        if job.checkpoint
        for values in [{"job": job.id, **vars(job.checkpoint), "kept": kept}]
    ]


def _progress_parts(jobs: Iterable[StoredJob]) -> list[Part]:
    return [
        Part(job.owner, f'"{job.id}":{progress(job).model_dump_json()}'.encode()) for job in jobs
    ]


def _message(type_: str, data: str) -> bytes:
    return format_sse_event(event=type_, data_str=data)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
