"""Workers as plain function calls in this process, for debugging and tests."""

from collections.abc import Callable, Iterable

from service.work.launcher import Exit
from service.work.process_handle import ProcessHandle


class InlineLauncher:
    """Runs each worker in `start`, which returns when the job is done."""

    def __init__(self, run: Callable[[str, int], int]) -> None:
        self._run = run
        self._exits: dict[ProcessHandle, Exit] = {}

    def start(self, job: str, attempt: int) -> ProcessHandle:
        code = self._run(job, attempt)
        handle = ProcessHandle("inline", job, attempt, 0)
        self._exits[handle] = Exit(code)
        return handle

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        return {handle: self._exits[handle] for handle in handles if handle in self._exits}

    def terminate(self, handle: ProcessHandle) -> None:
        pass

    def kill(self, handle: ProcessHandle) -> None:
        pass

    def capacity(self) -> int:
        return 1

    def log_tail(self, job: str) -> str:
        return ""
