"""The errors that the service raises on purpose; `api/problem_responses.py` turns them into HTTP.

ServiceError
├── NotFound
│   ├── JobNotFound          there is no such job
│   │   └── NoLatestModel    no job has learned anything yet, so `latest` names nothing
│   ├── DatasetNotFound      there is no such data set
│   ├── EvaluationNotFound   there is no such large evaluation
│   ├── EpochNotKept         the job does not keep the network after that epoch
│   ├── BadModelRef          what follows the @ of a reference names no epoch
│   ├── LayerNotFound        the network has no layer of that number
│   └── KeyNotFound          there is no such API key
├── Refused
│   ├── SpecRefused          the spec can't run here: one Flaw for each field
│   ├── WrongMove            the job's state does not allow the action
│   ├── NotTrainedYet        the job has no checkpoint to read weights from
│   ├── NotCalibrated        no evaluation has fitted a temperature for the network
│   ├── StartUnknown         the network before training can't be made again here
│   ├── NetworkDiverged      the network's outputs are not finite
│   ├── DatasetNotReady      the data set is still being received or checked, or has failed
│   │   └── DamagedNotReady  its files were found to be damaged
│   ├── DatasetExists        the name is taken by another data set
│   ├── DatasetShipped       the data set is part of the service
│   ├── DatasetInUse         jobs or networks need the data set
│   ├── QuotaExceeded        there are too many data sets, or they are too large together
│   ├── UploadTooLarge       the files of an upload have more bytes than they may have
│   ├── TooManyUploads       as many uploads as possible are under way
│   ├── DatasetGone          the data set has been deleted; only networks of it are left
│   │   └── DatasetDamaged   its files are there and damaged
│   ├── DatasetDiffers       a network can't be evaluated on this data set
│   ├── EvaluationTooLarge   a network or a data set is too large to be evaluated at once
│   ├── TooManyEvaluations   as many large evaluations as possible wait
│   ├── KeyReused            an Idempotency-Key was sent again with another body
│   ├── KeyRefused           an API key is unknown, has expired or was revoked
│   └── TooManyTries         a client has sent too many wrong API keys
├── BadImage                 the bytes or pixels do not show a digit
└── Broken
    ├── StoreBroken          the database or a file can't be read or written
    │   ├── StoreFull        there is no space left
    │   ├── Deadlocked       two transactions waited for each other, and this one was ended
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
MOST_LISTED = 20
"""Names in a message."""


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
        listed = ", ".join(known[:MOST_LISTED]) + (", …" if len(known) > MOST_LISTED else "")
        super().__init__(f"There is no data set {name[:160]!r}; there are: {listed}.")


class SampleNotFound(NotFound):
    """A collected sample is not the last one, which is the only one that has an address."""

    def __init__(self, name: str, number: int, samples: int) -> None:
        super().__init__(
            f"Only the last sample of the data set {name!r} can be deleted, and that is number "
            f"{samples}, not {number}."
        )


class EvaluationNotFound(NotFound):
    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"There is no evaluation {id[:80]!r}; GET /v1/evaluations lists them.")


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


class NotCalibrated(Refused):
    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(
            "No temperature that can be trusted has been fitted for this network yet: GET "
            f"/v1/models/{ref}/evaluation?calibrate=temperature does that once, on its validation "
            "or test set; `doubt` in its answer says if it can't be used."
        )


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


class DatasetNotReady(Refused):
    def __init__(self, name: str, state: str) -> None:
        self.name, self.state = name, state
        advice = f"GET /v1/datasets/{name}?wait=30 waits until it is ready"
        if state == "failed":
            advice = f"GET /v1/datasets/{name}/report says why"
        if state == "collecting":
            advice = f"POST /v1/datasets/{name}/freeze ends that"
        super().__init__(f"The data set {name!r} can't be used, it is {state!s}; {advice}.")


class DamagedNotReady(DatasetNotReady):
    """A data set has failed because its files were found to be damaged."""

    def __init__(self, name: str, state: str, damage: str) -> None:
        super().__init__(name, state)
        self.args = (f"The data set {name!r} can't be used. {damage}",)


class DatasetExists(Refused):
    def __init__(self, name: str, state: str, *, shipped: bool = False) -> None:
        self.name, self.state = name, state
        advice = "delete it first, or choose another name"
        if shipped:
            advice = "it is part of the service; choose another name"
        super().__init__(
            f"There is another data set {name!r} ({state!s}), and data sets never change: {advice}."
        )


class DatasetShipped(Refused):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The data set {name!r} is part of the service and can't be deleted.")


class DatasetInUse(Refused):
    def __init__(self, name: str, jobs: Sequence[str]) -> None:
        self.name, self.jobs = name, tuple(jobs)
        listed = ", ".join(jobs[:MOST_LISTED]) + (", …" if len(jobs) > MOST_LISTED else "")
        super().__init__(
            f"The data set {name!r} is needed, to train on or to evaluate networks, by "
            f"{len(jobs):,} {'job' if len(jobs) == 1 else 'jobs'}: {listed}. Delete them first, or "
            "send ?force=true: the networks still predict then, but they can't be evaluated on it."
        )


class QuotaExceeded(Refused):
    """There are too many data sets, or they are too large; the message has the figures."""


class UploadTooLarge(Refused):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The files of a data set may have {limit:,} bytes: pack them as a zip or with gzip, "
            "send fewer, or raise MLP_MAX_DATASET_BYTES."
        )


class TooManyUploads(Refused):
    """The largest number of uploads is under way."""

    def __init__(self, most: int, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"{most} uploads are under way already; try again in {seconds} s.")


class DatasetGone(Refused):
    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(
            f"The data set with the digest {sha256} has been deleted; networks that were trained "
            "on it can still predict. Upload it again to evaluate them or to train on it."
        )


class DatasetDamaged(DatasetGone):
    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.args = (
            f"The files of the data set with the digest {sha256} are damaged; networks that were "
            "trained on it can still predict. Upload the same content again to repair it.",
        )


class DatasetDiffers(Refused):
    def __init__(self, name: str, difference: str) -> None:
        self.name = name
        super().__init__(
            f"The network can't be evaluated on the data set {name!r}: {difference}. It must have "
            "images of the same shape and the same classes, in any order."
        )


class EvaluationTooLarge(Refused):
    """An evaluation takes too long for one answer, and perhaps for a worker, too."""

    def __init__(self, rows: int, *, can_be_queued: bool = False) -> None:
        self.rows = rows
        queue = "queue it with POST /v1/evaluations and ask again once it is done, " * can_be_queued
        super().__init__(
            f"The network is too large to read {rows:,} images for one answer: {queue}ask for a "
            "smaller split or data set with ?split= or ?dataset=, or send images to `predict` in "
            "parts."
        )


class TooManyEvaluations(Refused):
    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} large evaluations of your jobs wait already: wait until one is done, or "
            "delete one."
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


class Deadlocked(StoreBroken):
    """Two transactions waited for each other, and this one was ended: the same again succeeds."""


class Damaged(StoreBroken):
    """A file does not hold the bytes that were stored, so reading it again would not help."""


class Replaced(Broken):
    def __init__(self, job: str, attempt: int, kind: str = "job") -> None:
        self.job, self.attempt = job, attempt
        super().__init__(f"Attempt {attempt} of {kind} {job} is over: another one has replaced it.")
