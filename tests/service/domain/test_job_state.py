from service.domain.job_state import FINAL, WITH_WORKER, State


def test_states_are_final_or_have_a_worker_or_wait() -> None:
    waiting = set(State) - set(FINAL) - set(WITH_WORKER)
    assert {str(state) for state in waiting} == {"queued", "paused"}
    assert not set(FINAL) & set(WITH_WORKER)
