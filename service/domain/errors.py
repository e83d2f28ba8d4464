"""The errors that the service raises on purpose; `api/problem_responses.py` turns them into HTTP.

ServiceError
├── NotFound
│   ├── JobNotFound          there is no such job
│   │   └── NoLatestModel    no job has learned anything yet, so `latest` names nothing
│   ├── DatasetNotFound      there is no such data set
│   ├── EpochNotKept         the job does not keep the network after that epoch
│   ├── BadModelRef          what follows the @ of a reference names no epoch
│   ├── LayerNotFound        the network has no layer of that number
│   └── KeyNotFound          there is no such API key
├── Refused
│   ├── SpecRefused          the spec can't run here: one Flaw for each field
│   ├── WrongMove            the job's state does not allow the action
│   ├── NotTrainedYet        the job has no checkpoint to read weights from
│   ├── StartUnknown         the network before training can't be made again here
│   ├── NetworkDiverged      the network's outputs are not finite
│   ├── KeyReused            an Idempotency-Key was sent again with another body
│   ├── KeyRefused           an API key is unknown, has expired or was revoked
│   └── TooManyTries         a client has sent too many wrong API keys
├── BadImage                 the bytes or pixels do not show a digit
└── Broken
    ├── StoreBroken          the database or a file can't be read or written
    │   ├── StoreFull        there is no space left
    │   └── Damaged          a file does not hold the bytes that were stored
    └── Replaced             another attempt has replaced this worker's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ImageFault = Literal[
    "blank_image",
    "undecodable_image",
    "unsupported_format",
    "animated_image",
    "too_many_pixels",
    "too_many_bytes",
    "too_many_images",
    "invalid_base64",
    "unusable_array",
    "unknown_sample",
]
"""Why an image can't be read, for programs."""


class ServiceError(Exception):
    """Base of the errors that the service raises on purpose; `str()` of one may go to a client."""


class NotFound(ServiceError):
    """The thing named does not exist."""


class JobNotFound(NotFound):
    def __init__(self, ref: str) -> None:
        self.ref = ref
        latest = " `latest` means the newest network, in /v1/models/latest; jobs are named by id."
        super().__init__(f"There is no job {ref!r}.{latest if ref.lower() == 'latest' else ''}")


class NoLatestModel(JobNotFound):
    """No job has learned anything yet; the newest one is named, if there is any."""

    def __init__(
        self, id: str | None = None, state: str | None = None, test_accuracy: float | None = None
    ) -> None:
        self.ref = "latest"
        missing = "so there is no latest model"
        message = f"No job has succeeded yet, {missing}."
        if test_accuracy is not None:
            message = (
                f"No job has learned anything yet, {missing}: the accuracy of {id}, the newest job "
                f"that succeeded, is {test_accuracy:.2%}. Train again, with another learning_rate "
                "for example, or send its id in place of `latest`."
            )
        elif id is not None:
            message = (
                f"No job has succeeded yet, {missing}. The newest job is {id} ({state}); its id "
                "can be sent in place of `latest` if it has a checkpoint."
            )
        ServiceError.__init__(self, message)


class DatasetNotFound(NotFound):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"There is no data set {name!r}; there are: {', '.join(known)}.")


class EpochNotKept(NotFound):
    """The network that a reference names is not kept."""

    def __init__(self, job: str, epoch: int, kept: Sequence[int], *, best: bool) -> None:
        self.job, self.epoch, self.kept = job, epoch, tuple(kept)
        named = f"epoch {epoch}, the best one," if best else f"epoch {epoch}"
        listed = ", ".join(map(str, kept)) or "none"
        super().__init__(
            f"Job {job} does not keep the network after {named} so far; it keeps those of the "
            f"epochs: {listed}. Without @ the newest network answers."
        )


class BadModelRef(NotFound):
    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(
            f"{ref[:64]!r} names no network: after the @ comes the number of an epoch, `best` or "
            "`last`, as in `latest@12`; GET /v1/models/JOB/snapshots lists the epochs."
        )


class LayerNotFound(NotFound):
    def __init__(self, layer: int, layers: int) -> None:
        self.layer, self.layers = layer, layers
        super().__init__(f"There is no layer {layer}; the layers are numbered from 1 to {layers}.")


class KeyNotFound(NotFound):
    def __init__(self, id_: str) -> None:
        super().__init__(f"There is no key {id_[:64]!r}; `mlp-service keys list` shows their ids.")


class Refused(ServiceError):
    """The request is understood and will not be carried out; the message says what to change."""


@dataclass(frozen=True)
class Flaw:
    """One value to change in a request body."""

    pointer: str
    """JSON Pointer into the body, as a URI fragment: `#/hidden/0`."""
    detail: str
    hint: str | None = None
    suggestion: int | None = None
    """A value that would be accepted."""


class SpecRefused(Refused):
    def __init__(self, flaws: Sequence[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("; ".join(f"{flaw.pointer}: {flaw.detail}" for flaw in flaws))


class WrongMove(Refused):
    def __init__(self, action: str, state: str, allowed: Sequence[str]) -> None:
        self.action, self.state, self.allowed = action, state, tuple(allowed)
        can = f"it allows: {', '.join(allowed)}" if allowed else "it allows no action"
        super().__init__(f"A job in state {str(state)!r} does not allow {action!r}; {can}.")


class NotTrainedYet(Refused):
    def __init__(self, job: str, state: str, *, ended: bool) -> None:
        self.job, self.state, self.ended = job, state, ended
        when = "the first one comes about half a second after training starts"
        if ended:
            when = "it ended before its first one, so it will never have any"
        super().__init__(f"Job {job} ({state}) has no checkpoint, hence no weights; {when}.")


class StartUnknown(Refused):
    def __init__(self, job: str, drawn: Mapping[str, object], here: Mapping[str, object]) -> None:
        self.job = job
        began, now = (f"NumPy {it['numpy']}, arithmetic {it['arithmetic']}" for it in (drawn, here))
        if began == now:
            began = "an unknown version, because the job was continued on another machine"
        super().__init__(
            f"The network before the training of job {job} can't be made again: it was drawn with "
            f"{began}, and this service has {now}. Ask for an epoch from 1 on, or "
            "leave out `minus`."
        )


class NetworkDiverged(Refused):
    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(
            f"The network of job {job} has diverged: its outputs are not finite for all images. "
            "A lower learning_rate usually helps."
        )


class KeyReused(Refused):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"The Idempotency-Key {key!r} was used before with another body; use a new key."
        )


class KeyRefused(Refused):
    """An API key is unknown, has expired or was revoked."""


class TooManyTries(Refused):
    """A client has sent too many wrong API keys and must wait."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Too many wrong API keys: wait {seconds} s before you try again.")


class BadImage(ServiceError):
    """The bytes or pixels do not show a digit; the message says what to change."""

    def __init__(self, code: ImageFault, message: str, place: str | None = None) -> None:
        self.code, self.place = code, place
        super().__init__(message)

    def at(self, place: str | None) -> "BadImage":
        """Return the same error about the image at this place of the request.

        The place is a JSON Pointer into the body, or the name of a form's field.
        """
        return BadImage(self.code, str(self), self.place or place)


class Broken(ServiceError):
    """Something in the service itself failed."""


class StoreBroken(Broken):
    """The database or a file can't be read or written."""


class StoreFull(StoreBroken):
    """The disk or its quota is full; what is stored can still be read."""


class Damaged(StoreBroken):
    """A file does not hold the bytes that were stored, so reading it again would not help."""


class Replaced(Broken):
    def __init__(self, job: str, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        super().__init__(f"Attempt {attempt} of job {job} is over: another one has replaced it.")
