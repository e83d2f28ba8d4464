"""The errors that the client raises. Every message says what to do.

ClientError
├── ConnectionFailed     the server is not running, or the connection broke
├── UnexpectedAnswer     another program answered; check the URL
├── ApiError             the service answered with a problem (`problem`, RFC 9457)
│   ├── NotFoundError    404: there is no such job, layer or data set
│   ├── RefusedError     other 4xx: an invalid spec, an action that the job's state does not allow
│   │   └── KeyRefused   401, 403: no API key, an invalid one, or one without the needed scope
│   └── ServerError      5xx: the service failed
├── AddressUnusable      `base_url` is not the address of a server
├── ProxyUnusable        the environment names a proxy that can't be used
├── KeyUnusable          the API key contains spaces or characters outside ASCII
├── SpecUnusable         a field of the spec can't be written as JSON
├── ImageUnusable        the image can't be sent: unknown type, or array of the wrong shape
├── JobFailed            the job that was waited for failed (`job`)
├── JobCancelled         the job that was waited for was cancelled (`job`)
└── WaitTimeout          the time given to `wait` is over; the jobs continue (`jobs`)
"""

from collections.abc import Sequence

from mlp_client.records import Job, Problem


class ClientError(Exception):
    """Base class of all errors that the client raises on purpose; `str()` is meant for people."""


class ConnectionFailed(ClientError):
    """The server did not answer.

    Attributes:
        base_url: address of the server.

    """

    def __init__(self, base_url: str, cause: Exception) -> None:
        self.base_url = base_url
        super().__init__(
            f"No response from {base_url} ({cause or type(cause).__name__}). "
            "Is the server running? Start it with `mlp-service serve`."
        )


class UnexpectedAnswer(ClientError):
    """Something answered, but not this service.

    Attributes:
        url: address of the request.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"The response from {url} is not one of this service. "
            "Is another program listening on that address?"
        )


class ApiError(ClientError):
    """The service answered with a problem.

    Attributes:
        problem: the response, as a record.

    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        lines = [problem.title if problem.errors else problem.detail]
        for item in problem.errors or []:
            hint = f" ({item.hint})" if item.hint else ""
            lines.append(f"  {item.pointer}: {item.detail}{hint}")
        super().__init__("\n".join(lines))


class NotFoundError(ApiError):
    """404: the job, layer or data set does not exist."""


class RefusedError(ApiError):
    """4xx: the service refused the request; the message says how to fix it."""


class KeyRefused(RefusedError):
    """401 or 403: the server requires an API key, or another one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.args = (f"{self} Set the key with MLP_API_KEY or, in Python, with Client(api_key=…).",)


class ServerError(ApiError):
    """5xx: the service failed."""


class AddressUnusable(ClientError):
    """The text is not the address of a server."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"The address {text!r} can't be used: {why}. Give base_url or MLP_SERVICE_URL as "
            "http://127.0.0.1:8000, https://example.com/prefix or unix:/run/mlp.sock, for example."
        )


class ProxyUnusable(ClientError):
    """A proxy that the environment names can't be used."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY can't be used. Change or unset the "
            f"variable. ({cause})"
        )


class KeyUnusable(ClientError):
    """The text can't be an API key. The message does not repeat it, because it may be a secret."""

    def __init__(self) -> None:
        super().__init__(
            "The API key contains spaces, line breaks or characters that no key has. Check "
            "MLP_API_KEY or api_key: keys begin with mlp_ and are made by "
            "`mlp-service keys create`."
        )


class SpecUnusable(ClientError):
    """A field of the spec can't be written as JSON; the message names it."""


class ImageUnusable(ClientError):
    """The image can't be sent: its type is unknown, or the array has the wrong shape."""


class JobFailed(ClientError):
    """The job that was waited for failed.

    Attributes:
        job: the job in its final state.

    """

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job.id} failed: {_why(job)}")


class JobCancelled(ClientError):
    """The job that was waited for was cancelled.

    Attributes:
        job: the job in its final state.

    """

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job.id} was cancelled: {_why(job)}")


class WaitTimeout(ClientError, TimeoutError):
    """The time given to `wait` is over; the jobs continue.

    Attributes:
        jobs: ids of the jobs that have not ended.

    """

    def __init__(self, jobs: Sequence[str], seconds: float) -> None:
        self.jobs = tuple(jobs)
        super().__init__(
            f"Not finished after {seconds:g} s: {', '.join(jobs)}. The training continues."
        )


def _why(job: Job) -> str:
    return job.reason.message if job.reason else "no reason given"
