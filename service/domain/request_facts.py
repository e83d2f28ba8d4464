"""What becomes known about the request that is being answered, for its log line and the metrics."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestFacts:
    """Facts that code at any depth adds, also in the threads that work on the request."""

    id: str
    """Identifies the request in its answer and in the log."""
    key: str | None = None
    """The id of the API key that it was sent with."""
    model: str | None = None
    """The job whose network predicted."""
    predictions: int = 0
    """Number of images for which there is a prediction."""
    warnings: tuple[str, ...] = ()
    """The codes of warnings about these images, once for each image."""
    refusals: tuple[str, ...] = ()
    """The reasons why the request, or an image in it, was refused."""


REQUEST: ContextVar[RequestFacts | None] = ContextVar("request", default=None)
"""The request of the current task; None outside of requests."""


def current_id() -> str | None:
    """Return the id of the request that is being answered; None outside of requests."""
    facts = REQUEST.get()
    return facts.id if facts else None
