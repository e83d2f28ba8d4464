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
├── DatasetUnusable      what is given can't be sent as a data set: an empty folder, no array
├── DatasetFailed        the data set that was waited for could not be read (`dataset`)
├── EvaluationFailed     the evaluation that was waited for can't be made (`evaluation`)
├── JobFailed            the job that was waited for failed (`job`)
├── JobCancelled         the job that was waited for was cancelled (`job`)
└── WaitTimeout          the time given to `wait` is over; the jobs go on (`jobs`)
"""

from collections.abc import Sequence

from mlp_client.dataset_records import DatasetRecord, DatasetReport
from mlp_client.evaluation_records import EvaluationTask
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


class DatasetUnusable(ClientError):
    """What is given can't be sent as a data set; the message says why."""


class DatasetFailed(ClientError):
    """The files of the data set that was waited for can't be used.

    Attributes:
        dataset: the data set in its final state.
        report: what was found in its files, with everything that is wrong.

    """

    def __init__(self, dataset: DatasetRecord, report: DatasetReport) -> None:
        self.dataset, self.report = dataset, report
        why = dataset.reason.message if dataset.reason else "no reason given"
        lines = [f"Data set {dataset.name} can't be used: {why}"]
        for flaw in report.errors:
            texts = (f"{flaw.place}:" if flaw.place else "", flaw.detail, flaw.hint)
            line = " ".join(text for text in texts if text)
            lines += [] if line == why else [f"  {line}"]
        super().__init__("\n".join(lines))


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


class EvaluationFailed(ClientError):
    """The evaluation that was waited for can't be made.

    Attributes:
        evaluation: the evaluation in its final state.

    """

    def __init__(self, evaluation: EvaluationTask) -> None:
        self.evaluation = evaluation
        why = evaluation.reason.message if evaluation.reason else "no reason given"
        super().__init__(f"Evaluation {evaluation.id} can't be made: {why}")


class WaitTimeout(ClientError, TimeoutError):
    """The time given to `wait` is over; what was waited for continues.

    Attributes:
        jobs: ids of the jobs that have not ended, or the name of the data set.

    """

    def __init__(
        self, jobs: Sequence[str], seconds: float, goes_on: str = "The training continues."
    ) -> None:
        self.jobs = tuple(jobs)
        super().__init__(f"Not finished after {seconds:g} s: {', '.join(jobs)}. {goes_on}")


def _why(job: Job) -> str:
    return job.reason.message if job.reason else "no reason given"
