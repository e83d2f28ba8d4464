"""What can go wrong at the client's side; every message says what to do.

ClientError
├── ConnectionFailed     no answer: the server is not there, or the connection broke
├── UnexpectedAnswer     something answered, but not this service: look at the URL
├── ApiError             the service answered with a problem (`problem`, RFC 9457)
│   ├── NotFoundError    404: no such job, layer, data set
│   ├── RefusedError     any other 4xx: a spec to mend, a move the job's state does not allow
│   │   └── KeyRefused   401, 403: no API key, or one that is not valid or may not do this
│   └── ServerError      5xx: the service is at fault
├── KeyUnusable          an API key that can't be one: it has spaces or letters beyond ASCII
├── ImageUnusable        a picture that can't be sent: an unknown type, an array of another size
├── JobFailed            the job waited for has failed (`job`)
├── JobCancelled         the job waited for was cancelled (`job`)
└── WaitTimeout          the time given to `wait` is over; the jobs go on (`jobs`)
"""

from collections.abc import Sequence

from mlp_client.records import Job, Problem


class ClientError(Exception):
    """Base of all errors that the client raises on purpose; `str()` is fit for people."""


class ConnectionFailed(ClientError):
    def __init__(self, base_url: str, cause: Exception) -> None:
        self.base_url = base_url
        super().__init__(
            f"No answer from {base_url} ({cause or type(cause).__name__}). "
            "Is the server running? Start it with `mlp-service serve`."
        )


class UnexpectedAnswer(ClientError):
    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"{url} did not answer as this service does. Is another program on that address?"
        )


class ApiError(ClientError):
    """The service answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        lines = [problem.title if problem.errors else problem.detail]
        for item in problem.errors or []:
            hint = f" ({item.hint})" if item.hint else ""
            lines.append(f"  {item.pointer}: {item.detail}{hint}")
        super().__init__("\n".join(lines))


class NotFoundError(ApiError):
    """404: what was named does not exist."""


class RefusedError(ApiError):
    """4xx: the request was understood and will not be done; the message says how to mend it."""


class KeyRefused(RefusedError):
    """401 or 403: the server wants another API key, or any."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.args = (f"{self} This client takes the key from MLP_API_KEY or Client(api_key=…).",)


class ServerError(ApiError):
    """5xx: the service is at fault."""


class KeyUnusable(ClientError):
    """The text given as API key is none; it is not repeated here, for it may be a secret."""

    def __init__(self) -> None:
        super().__init__(
            "The API key has spaces, line ends or letters that no key has: look at MLP_API_KEY or "
            "api_key. Keys begin with mlp_; `mlp-service keys create` makes them."
        )


class ImageUnusable(ClientError):
    """A picture that can't be sent."""


class JobFailed(ClientError):
    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job.id} failed: {_why(job)}")


class JobCancelled(ClientError):
    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job.id} was cancelled: {_why(job)}")


class WaitTimeout(ClientError, TimeoutError):
    def __init__(self, jobs: Sequence[str], seconds: float) -> None:
        self.jobs = tuple(jobs)
        super().__init__(f"Not done after {seconds:g} s: {', '.join(jobs)}. Training goes on.")


def _why(job: Job) -> str:
    return job.reason.message if job.reason else "no reason given"
