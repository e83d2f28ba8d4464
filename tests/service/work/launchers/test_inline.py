"""Workers as function calls."""

from dataclasses import replace

from service.work.launcher import Exit
from service.work.launchers.inline import InlineLauncher


def test_an_inline_worker_is_done_when_it_has_started() -> None:
    runs: list[tuple[str, int]] = []

    def run(job: str, attempt: int) -> int:
        runs.append((job, attempt))
        return 5

    launcher = InlineLauncher(run)
    handle = launcher.start("job", 3)
    assert runs == [("job", 3)]
    assert launcher.poll([handle]) == {handle: Exit(5)}
    other = replace(handle, pid_namespace="other")
    launcher.terminate(other)
    launcher.kill(other)
    assert launcher.poll([other]) == {}
    assert (launcher.capacity(), launcher.log_tail("job")) == (1, "")
