"""References to networks, as clients write them: `JOB`, `latest`, `JOB@12`, `JOB@best`."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from service.domain.errors import BadModelRef

LATEST = "latest"
START = 0
"""The epoch of a network that has not been trained yet."""
KEPT = 1000
# A longer text would be kept in memory as well, and names no job.
PATTERN = re.compile(r"(?P<job>[^@]{0,64})(@(?P<at>[0-9]{1,9}|best|last))?")


@dataclass(frozen=True)
class ModelRef:
    """Which job, or the latest one, and which of the networks that it keeps."""

    job: str
    at: int | Literal["best"] | None = None
    """A number of epochs, the best epoch, or None: the newest checkpoint, wherever it is."""

    @property
    def is_latest(self) -> bool:
        return self.job == LATEST


@lru_cache(KEPT)
def model_ref(text: str) -> ModelRef:
    """Return what a reference means.

    Raises:
        BadModelRef: what follows the `@` names no epoch.

    """
    found = PATTERN.fullmatch(text)
    if found is None:
        raise BadModelRef(text)
    at = found["at"]
    if at in (None, "last"):
        return ModelRef(found["job"])
    return ModelRef(found["job"], "best" if at == "best" else int(at))
