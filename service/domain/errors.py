"""What can go wrong, said once for every room; `api/problems.py` alone turns it into HTTP.

ServiceError
├── NotFound
│   ├── JobNotFound          no such job
│   │   └── NoneSucceeded    no job has succeeded yet, so there is no `latest`
│   ├── DatasetNotFound      no such data set
│   ├── LayerNotFound        the network has no layer of that number
│   └── KeyNotFound          no such API key
├── Refused
│   ├── SpecRefused          the spec can't run here: one Flaw a field
│   ├── WrongMove            the job's state does not allow the action
│   ├── NotTrainedYet        the job has no checkpoint to read weights from
│   ├── NetworkDiverged      the network answers with no numbers
│   └── KeyReused            an Idempotency-Key came back with another body
├── BadImage                 bytes that are no digit (defined in pictures.digits)
└── Broken
    ├── StoreBroken          the database or a file can't be read or written
    │   ├── StoreFull        there is no space left for it
    │   └── Damaged          a file was read, but is not what was stored
    └── Replaced             this worker's attempt is over: another took its place
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ServiceError(Exception):
    """Base of all errors that the service raises on purpose; `str()` is fit for a client."""


class NotFound(ServiceError):
    """The thing named does not exist."""


class JobNotFound(NotFound):
    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(f"There is no job {ref!r}.")


class NoneSucceeded(JobNotFound):
    def __init__(self) -> None:
        ServiceError.__init__(self, "No job has succeeded yet, so there is no latest model.")
        self.ref = "latest"


class DatasetNotFound(NotFound):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"There is no data set {name!r}; there are: {', '.join(known)}.")


class LayerNotFound(NotFound):
    def __init__(self, layer: int, layers: int) -> None:
        self.layer, self.layers = layer, layers
        super().__init__(f"There is no layer {layer}; layers count from 1 to {layers}.")


class KeyNotFound(NotFound):
    def __init__(self, id_: str) -> None:
        super().__init__(f"There is no key {id_[:64]!r}; `mlp-service keys list` shows their ids.")


class Refused(ServiceError):
    """The request is understood and will not be done; the message says how to mend it."""


@dataclass(frozen=True)
class Flaw:
    """One thing to mend in a request body."""

    pointer: str
    """JSON Pointer into the body, as a URI fragment: `#/hidden/0`."""
    detail: str
    hint: str | None = None


class SpecRefused(Refused):
    def __init__(self, flaws: Sequence[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("; ".join(f"{flaw.pointer}: {flaw.detail}" for flaw in flaws))


class WrongMove(Refused):
    def __init__(self, action: str, state: str, allowed: Sequence[str]) -> None:
        self.action, self.state, self.allowed = action, state, tuple(allowed)
        can = f"it allows: {', '.join(allowed)}" if allowed else "it allows no action"
        super().__init__(f"A job in state {state!r} can't do {action!r}; {can}.")


class NotTrainedYet(Refused):
    def __init__(self, job: str, state: str, *, ended: bool) -> None:
        self.job, self.state, self.ended = job, state, ended
        when = "the first comes about half a second after training starts"
        if ended:
            when = "and it will never have any, for it ended before the first"
        super().__init__(f"Job {job} ({state}) has no checkpoint, so it has no weights; {when}.")


class NetworkDiverged(Refused):
    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(
            f"The network of job {job} has diverged: for this image it computes no finite numbers. "
            "A lower learning_rate usually helps."
        )


class KeyReused(Refused):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"Idempotency-Key {key!r} was used before with another body; use a new key."
        )


class Broken(ServiceError):
    """Something of the service itself failed."""


class StoreBroken(Broken):
    """The database or a file can't be read or written."""


class StoreFull(StoreBroken):
    """The disk, or what of it may be used, is full; what is stored can still be read."""


class Damaged(StoreBroken):
    """A file holds other bytes than were stored: to read it again would help nobody."""


class Replaced(Broken):
    def __init__(self, job: str, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        super().__init__(f"Attempt {attempt} of job {job} is over: the row has moved on.")
