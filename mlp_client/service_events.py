"""What happens to all jobs of a server, from one stream that is resumed when it breaks."""

import json
from typing import Any

import httpx2
from pydantic import Field

from mlp_client.calls import Call, record
from mlp_client.job_calls import OUTAGE_SECONDS, JobPage
from mlp_client.records import Job, Record

PATH = "/v1/events"
PING = "ping"
SILENCE_SECONDS = 25.0
"""Time without a byte after which the stream is opened again; the server pings every 10 s."""


class ServiceEvent(Record):
    """Something that happened to a job, or to the server."""

    type: str = Field(
        description="`hello`, `job`, `epoch`, `warning`, `checkpoint`, `progress` or `system`."
    )
    cursor: int = Field(description="The number to continue after, when this event is known.")
    data: dict[str, Any] = Field(description="Details; their fields depend on the type.")

    @property
    def job(self) -> Job | None:
        """The whole record, if the event is about a job that was not deleted."""
        if self.type != "job" or self.data.get("deleted"):
            return None
        return Job.model_validate(self.data)

    @property
    def job_id(self) -> str | None:
        """The id of the job that the event is about; None if it is about none or several."""
        found = self.data.get("id" if self.type == "job" else "job")
        return found if isinstance(found, str) else None


def check_access() -> Call[JobPage]:
    """Ask what a stream that is refused does not tell, also while the server restarts."""
    parameters = {"params": {"limit": 1}}
    return Call("GET", "/v1/jobs", record(JobPage), parameters, patience=OUTAGE_SECONDS)


def service_event(message: httpx2.ServerSentEvent) -> ServiceEvent:
    """Return a message of the stream as an event.

    Raises:
        ValueError: its data is not an object, or it has no id and none came before it.

    """
    data = json.loads(message.data)
    fields = {"type": message.event, "cursor": message.id, "data": data}
    return ServiceEvent.model_validate(fields)
