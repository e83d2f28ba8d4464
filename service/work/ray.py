"""Ray runs the hosts of a fleet: each is a job of Ray, which chooses the node.

Only Ray's REST interface is used, so no version of Ray needs to be installed here.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from service.work.fleet import FleetHost

TIMEOUT = httpx2.Timeout(5.0)
"""Of connecting, and of each read."""
MOST_SECONDS = 10.0
"""Of a whole answer."""
MOST_BYTES = 16 * 1024**2
"""Of a whole answer: it lists the jobs of everybody who uses the cluster, with ends of logs."""
MOST_LETTERS = 300
"""Of what Ray says, in errors and logs."""
LIVE = ("PENDING", "RUNNING")
FAILED, SUCCEEDED = "FAILED", "SUCCEEDED"
ADVICE: Mapping[int, str] = {
    httpx2.codes.UNAUTHORIZED: "it demands a token; set MLP_RAY_TOKEN",
    httpx2.codes.FORBIDDEN: "it does not accept the token in MLP_RAY_TOKEN",
}

# The node's own settings say where its files are. Hosts of one node share its data sets.
ENTRYPOINT = (
    'place="${{MLP_DATA_DIR:-$HOME/.mlp-service}}"; '
    'export MLP_DATASETS_DIR="${{MLP_DATASETS_DIR:-$place/datasets}}"{memory}; '
    'exec {command} --slots {slots} --until-idle {idle:g} --data-dir "$place/{place}"'
)


@dataclass(frozen=True)
class HostCommand:
    """What a node executes to become a host."""

    command: str
    slots: int
    idle: float
    """The host ends after so many seconds without work."""
    memory: int | None = None
    """The bytes that its jobs may take together; None leaves it to the node."""

    def job(self, name: str, place: str) -> dict[str, Any]:
        """Return the job of Ray that is a host of this name, in a directory of its own.

        Nothing secret is part of it: Ray shows it to everybody who may use the cluster.
        """
        memory = f" MLP_JOB_MEMORY={self.memory}" if self.memory else ""
        command = ENTRYPOINT.format(
            memory=memory, command=self.command, slots=self.slots, idle=self.idle, place=place
        )
        job = {
            "submission_id": name,
            "entrypoint": command,
            "entrypoint_num_cpus": self.slots,
        }
        return job | ({"entrypoint_memory": self.memory} if self.memory else {})


class RayFleet:
    """Implements `fleet.Fleet` by jobs of a Ray cluster."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str | None],
        service: Callable[[], str],
        host: HostCommand,
    ) -> None:
        """Create it; nothing is asked yet.

        Args:
            url: the address of Ray's dashboard, which serves its REST interface.
            token: returns the token that Ray demands, or None; it may raise OSError.
            service: returns the identifier of the service, which is part of the names of its hosts;
                it may raise StoreBroken.
            host: what each node executes.

        """
        self._url, self._token, self._service, self._host = url, token, service, host
        # Connections are not kept: Ray would have closed most of them before the next look.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.Client(timeout=TIMEOUT, limits=limits)

    def hosts(self) -> dict[str, FleetHost]:
        status, text = self._ask("GET", "")
        self._refuse(status, text)
        try:
            found: list[dict[str, Any]] = json.loads(text)
            return {
                name[0]: self._seen(int(name[1]), job)
                for job in found
                if (name := re.fullmatch(self._place(r"(\d+)-\w+"), str(job["submission_id"])))
            }
        except (ValueError, TypeError, LookupError) as exc:
            raise OSError(
                f"Ray at {self._url} did not answer with a list of its jobs; MLP_RAY_URL must be "
                f"the address of its dashboard"
            ) from exc

    def start(self, number: int) -> None:
        place = self._place(number)
        # Not one name again and again: Ray may keep that of a job that it has already deleted.
        name = f"{place}-{secrets.token_hex(4)}"
        self._refuse(*self._ask("POST", "", self._host.job(name, place)))

    def forget(self, name: str) -> None:
        status, text = self._ask("DELETE", name)
        if status != httpx2.codes.NOT_FOUND:
            self._refuse(status, text)

    def _seen(self, number: int, job: Mapping[str, Any]) -> FleetHost:
        status, message = str(job["status"]), str(job.get("message") or "")
        if status in LIVE:
            return FleetHost(number, True)
        seconds = ((job.get("end_time") or 0) - (job.get("start_time") or 0)) / 1000
        if status == FAILED:
            return FleetHost(number, False, _end(message) or FAILED)
        if status == SUCCEEDED and 0 < seconds < self._host.idle:
            # Its version or a setting of its node sends it away; the next one would go, too.
            return FleetHost(
                number, False, f"it ended after {seconds:.0f} s, before it could be idle"
            )
        return FleetHost(number, False)

    def _place(self, number: int | str) -> str:
        """Return the directory of a host on its node, with which its name begins."""
        return f"mlp-{self._service()}-{number}"

    def _ask(
        self, method: str, name: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, str]:
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        deadline, content = time.monotonic() + MOST_SECONDS, bytearray()
        address = f"{self._url}/api/jobs/{name}"
        try:
            with self._http.stream(method, address, json=body, headers=headers) as answer:
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES or time.monotonic() > deadline:
                        raise OSError(f"the answer of Ray at {self._url} is too long or too slow")
                return answer.status_code, content.decode(errors="replace")
        except httpx2.HTTPError as exc:
            why = str(exc) or type(exc).__name__
            raise OSError(f"Ray at {self._url} can't be reached: {why}") from exc

    def _refuse(self, status: int, text: str) -> None:
        """Raise OSError unless the status says that all is well."""
        if httpx2.codes.is_success(status):
            return
        what = ADVICE.get(status) or self._shown(text)
        raise OSError(f"Ray at {self._url} answered with {status}: {what}")

    def _shown(self, text: str) -> str:
        """Return the end of what Ray said without our token."""
        token = self._token()
        hidden = text.replace(token, "…") if token else text
        return _end(hidden)


def _end(text: str) -> str:
    """Return the end of what Ray said, which names the error, in one line."""
    return " ".join(text[-MOST_LETTERS:].split())


def token_reader(token: str | None, file: Path | None) -> Callable[[], str | None]:
    """Return a function that returns a token, or reads it from a file, where it may be renewed."""

    def read() -> str | None:
        try:
            found = token or (file.read_text().strip() if file else None)
        except UnicodeDecodeError:
            raise OSError("the file with the token for Ray is no text") from None
        if found and not re.fullmatch(r"[!-~]+", found):
            raise OSError("the token for Ray contains spaces, or letters that no token has")
        return found

    return read
