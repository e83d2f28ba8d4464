"""The kinds of problems that error answers name: one table of status, title and what to do."""

from typing import NamedTuple


class Kind(NamedTuple):
    status: int
    title: str
    advice: str
    """What whoever sent the request can do."""


PROBLEM_TYPES = {
    "bad-request": Kind(
        400, "The request can't be understood", "Mend the part of the request that `detail` names."
    ),
    "malformed-json": Kind(
        400, "The body is not JSON", "Mend the JSON where `detail` says that it stops being JSON."
    ),
    "host-not-allowed": Kind(
        400,
        "The Host header names no host of this service",
        "Call the service by a name that it answers to, or add yours to `MLP_ALLOWED_HOSTS`.",
    ),
    "unauthenticated": Kind(
        401,
        "The request needs an API key",
        "Send `Authorization: Bearer mlp_…`; `mlp-service keys create` makes a key.",
    ),
    "forbidden": Kind(
        403, "The API key does not allow this", "Use a key with the scope that `detail` names."
    ),
    "cross-site": Kind(
        403,
        "The page of another site may not do this",
        "Send it from a page of this service, or from a program.",
    ),
    "not-found": Kind(
        404,
        "There is nothing at this address",
        "Look up the address at `/docs`, which lists the routes.",
    ),
    "job-not-found": Kind(
        404,
        "There is no such job",
        "Look for the id in `GET /v1/jobs`; `latest` is a model, once a job has succeeded.",
    ),
    "dataset-not-found": Kind(
        404, "There is no such data set", "Choose one of `GET /v1/datasets`."
    ),
    "layer-not-found": Kind(
        404, "The network has no such layer", "Count layers from 1; the last one is the output."
    ),
    "method-not-allowed": Kind(
        405,
        "This address does not know the method",
        "Use one of the methods in the `Allow` header.",
    ),
    "request-timeout": Kind(
        408,
        "The request came too slowly",
        "Send headers within 6 seconds, and a body at 16 KiB a second or faster.",
    ),
    "wrong-move": Kind(
        409,
        "The job's state does not allow this",
        "Do one of the things that the job's state allows; `detail` lists them.",
    ),
    "no-checkpoint-yet": Kind(
        409,
        "The job has no weights yet",
        "Try again after as many seconds as `Retry-After` says, if it says any.",
    ),
    "network-diverged": Kind(
        409,
        "The network's outputs are no numbers",
        "Ask another network, or train again with a lower `learning_rate`.",
    ),
    "too-large": Kind(413, "The body is too large", "Send no more bytes than `detail` allows."),
    "unsupported-media-type": Kind(
        415,
        "The body is of a type that is not read here",
        "Send one of the types that `detail` lists, and name it in `Content-Type`.",
    ),
    "invalid": Kind(
        422,
        "The request has values that are not valid",
        "Change each value that `errors` points to; its hint may say how.",
    ),
    "spec-refused": Kind(
        422,
        "The job can't run here",
        "Ask for less, as the hints in `errors` say, or raise the limits in the settings.",
    ),
    "idempotency-key-reused": Kind(
        422,
        "The Idempotency-Key was used for something else",
        "Give each new job an `Idempotency-Key` of its own.",
    ),
    "bad-image": Kind(
        422,
        "The image can't be read as a digit",
        "Send another picture; `detail` says what is wrong with this one.",
    ),
    "headers-too-large": Kind(
        431, "The headers are too large", "Keep address and headers within 32 KiB and 100 lines."
    ),
    "internal": Kind(
        500, "The service failed", "Tell whoever looks after the service; its log says more."
    ),
    "store-unavailable": Kind(
        503,
        "The store can't be read or written now",
        "Try again after as many seconds as `Retry-After` says; the log tells what is wrong.",
    ),
    "overloaded": Kind(
        503,
        "More predictions are asked for than can be made",
        "Wait as long as `Retry-After` says; who asks sooner is answered later.",
    ),
    "too-many-connections": Kind(
        503,
        "More clients are connected than can be served",
        "Use fewer connections, or raise `MLP_MAX_CONNECTIONS`.",
    ),
    "disk-full": Kind(
        507,
        "There is no space left to store this",
        "Free some space, or ask whoever looks after the service to; then try again.",
    ),
}
"""By code."""
