"""The types of problems that error answers can have: status, title and advice for each code."""

from typing import NamedTuple


class ProblemType(NamedTuple):
    status: int
    title: str
    advice: str
    """What the sender of the request can do about it."""


PROBLEM_TYPES = {
    "bad-request": ProblemType(
        400, "The request can't be understood", "Fix the part of the request that `detail` names."
    ),
    "malformed-json": ProblemType(
        400, "The body can't be read as JSON", "Fix the JSON at the place that `detail` names."
    ),
    "host-not-allowed": ProblemType(
        400,
        "The Host header names no host of this service",
        "Call the service by a name that it answers to, or add yours to `MLP_ALLOWED_HOSTS`.",
    ),
    "unauthenticated": ProblemType(
        401,
        "The request needs an API key",
        "Send `Authorization: Bearer mlp_…`; `mlp-service keys create` creates a key.",
    ),
    "forbidden": ProblemType(
        403, "The API key does not allow this", "Use a key with the scope that `detail` names."
    ),
    "cross-site": ProblemType(
        403,
        "A page of another site may not do this",
        "Add the page's origin to `MLP_ALLOWED_ORIGINS`, or send the request from a program.",
    ),
    "not-own-page": ProblemType(
        403,
        "A session works only for the service's own page",
        "Use the page at `/`, or send the API key as `Authorization: Bearer mlp_…`.",
    ),
    "not-found": ProblemType(
        404,
        "There is nothing at this address",
        "Look up the address at `/docs`, which lists the routes.",
    ),
    "job-not-found": ProblemType(
        404,
        "There is no such job",
        "Look up the id in `GET /v1/jobs`; `latest` works once a job has learned something.",
    ),
    "dataset-not-found": ProblemType(
        404, "There is no such data set", "Choose one of `GET /v1/datasets`."
    ),
    "evaluation-not-found": ProblemType(
        404, "There is no such evaluation", "Choose one of `GET /v1/evaluations`."
    ),
    "epoch-not-kept": ProblemType(
        404,
        "The job does not keep the network after this epoch",
        "Choose one of the epochs in `GET /v1/models/{ref}/snapshots`.",
    ),
    "layer-not-found": ProblemType(
        404,
        "The network has no such layer",
        "Layers are numbered from 1; the last one is the output layer.",
    ),
    "method-not-allowed": ProblemType(
        405,
        "This address does not support the method",
        "Use one of the methods in the `Allow` header.",
    ),
    "request-timeout": ProblemType(
        408,
        "The request arrived too slowly",
        "Send the headers within 6 seconds, and the body at 16 KiB a second or faster.",
    ),
    "dataset-not-ready": ProblemType(
        409,
        "The data set can't be used yet",
        "Wait until it is ready with `GET /v1/datasets/{name}?wait=30`, or read its report.",
    ),
    "dataset-exists": ProblemType(
        409,
        "There is another data set of this name",
        "Choose another name, or delete the data set that has it.",
    ),
    "dataset-shipped": ProblemType(
        409,
        "The data set is part of the service",
        "Leave it as it is: it takes no place among your data sets.",
    ),
    "dataset-in-use": ProblemType(
        409,
        "Jobs or networks need the data set",
        "Delete the jobs that `detail` names, or send `?force=true`.",
    ),
    "dataset-quota": ProblemType(
        409,
        "There are too many data sets, or they are too large",
        "Delete data sets that nobody needs; `detail` has the figures.",
    ),
    "dataset-damaged": ProblemType(
        409,
        "The files of the data set are damaged",
        "Upload the same data again, which repairs it.",
    ),
    "dataset-gone": ProblemType(
        409,
        "The data set has been deleted",
        "Upload the same data again; its digest recognises it.",
    ),
    "wrong-move": ProblemType(
        409,
        "The job's state does not allow this",
        "Use one of the actions that the job's state allows; `detail` lists them.",
    ),
    "no-checkpoint-yet": ProblemType(
        409,
        "The job has no weights yet",
        "Wait the number of seconds in `Retry-After`, if that header is present, and try again.",
    ),
    "not-calibrated": ProblemType(
        409,
        "No temperature has been fitted for this network",
        "Ask for its evaluation with `?calibrate=temperature` once, then predict again.",
    ),
    "start-unknown": ProblemType(
        409,
        "The network before training can't be made again here",
        "Ask for an epoch from 1 on: the job began with another version of NumPy.",
    ),
    "network-diverged": ProblemType(
        409,
        "The network's outputs are not finite",
        "Use another network, or train again with a lower `learning_rate`.",
    ),
    "dataset-differs": ProblemType(
        409,
        "The network can't be evaluated on this data set",
        "Choose a data set with images of the same shape and the same classes.",
    ),
    "evaluation-too-large": ProblemType(
        409,
        "The network or the data set is too large to be evaluated in one answer",
        "Queue it with `POST /v1/evaluations`, ask for a smaller split or data set, or send images "
        "to `predict` in parts.",
    ),
    "too-many-evaluations": ProblemType(
        409,
        "Too many large evaluations wait",
        "Wait until one is done, or delete one of `GET /v1/evaluations`.",
    ),
    "too-large": ProblemType(
        413, "The body is too large", "Send no more bytes than `detail` allows."
    ),
    "unsupported-media-type": ProblemType(
        415,
        "The body's media type is not supported here",
        "Send one of the types that `detail` lists, and name it in `Content-Type`.",
    ),
    "unsupported-content-encoding": ProblemType(
        415,
        "The body is packed in a way that is not supported",
        "Pack it with gzip or deflate, or send it as it is and without `Content-Encoding`.",
    ),
    "invalid": ProblemType(
        422,
        "The request has values that are not valid",
        "Change each value that `errors` points to; its hint may say how.",
    ),
    "spec-refused": ProblemType(
        422,
        "The job can't run here",
        "Ask for less, as the hints in `errors` say, or raise the limits in the settings.",
    ),
    "idempotency-key-reused": ProblemType(
        422,
        "The Idempotency-Key was used with another body",
        "Give each new job an `Idempotency-Key` of its own.",
    ),
    "bad-image": ProblemType(
        422,
        "The image can't be read",
        "Send another picture; `detail` says what is wrong with this one.",
    ),
    "too-many-uploads": ProblemType(
        429,
        "Too many uploads are under way",
        "Wait the number of seconds in `Retry-After` and send the files again.",
    ),
    "too-many-tries": ProblemType(
        429,
        "Too many wrong API keys were sent",
        "Wait the number of seconds in `Retry-After`, and check the key.",
    ),
    "headers-too-large": ProblemType(
        431,
        "The headers are too large",
        "Keep the address and the headers within 32 KiB and 100 lines.",
    ),
    "internal": ProblemType(
        500, "The service failed", "Tell the operator of the service; its log says more."
    ),
    "store-unavailable": ProblemType(
        503,
        "The database or a file can't be read or written now",
        "Wait the number of seconds in `Retry-After` and try again; the service's log says what "
        "is wrong.",
    ),
    "overloaded": ProblemType(
        503,
        "More predictions are requested than the service can make",
        "Wait the number of seconds in `Retry-After`; retrying sooner delays the answer.",
    ),
    "too-many-connections": ProblemType(
        503,
        "More clients are connected than the service can serve",
        "Use fewer connections, or raise `MLP_MAX_CONNECTIONS`.",
    ),
    "disk-full": ProblemType(
        507,
        "There is no space left to store this",
        "Free some space or ask the operator of the service to, then try again.",
    ),
}
"""All types by code, which is also the last part of the problem's `type`, `/problems/<code>`."""
