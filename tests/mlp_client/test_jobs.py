"""Submitting, listing and controlling jobs with the client."""

import httpx2
import pytest

from mlp_client import NotFoundError, RefusedError
from tests.support.fake_service import FakeService, make_epoch, make_job


def test_fields_override_the_preset_in_one_request() -> None:
    service = FakeService()
    job = service.client().jobs.create("mlp-relu", epochs=7, name="mine")
    assert (job.id, job.spec.epochs, job.spec.name) == ("job_1", 7, "mine")
    assert service.requests[0].content == b'{"preset":"mlp-relu","epochs":7,"name":"mine"}'


def test_a_submission_whose_response_was_lost_is_sent_again_and_makes_one_job() -> None:
    service = FakeService()
    service.faults.append(httpx2.ReadError("connection reset"))
    job = service.client().jobs.create("linear")
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert list(service.jobs) == [job.id]


def test_a_retry_after_an_upgrade_reads_the_answer_that_the_older_server_stored() -> None:
    stored = make_job("job_1", "queued").model_dump(mode="json")
    stored["losses"] = stored.pop("lost_workers") + 2
    service = FakeService()
    service.faults.append(httpx2.Response(201, json=stored))
    job = service.client().jobs.create("linear")
    assert job.data.lost_workers == 2
    assert "losses" not in job.data.model_dump()


def test_two_submissions_of_the_same_spec_are_two_jobs() -> None:
    client = FakeService().client()
    assert client.jobs.create("linear").id != client.jobs.create("linear").id


def test_a_refused_spec_names_the_field_and_how_to_fix_it() -> None:
    with pytest.raises(RefusedError, match=r"#/epochs: is below 1 \(give 1 or more\)") as caught:
        FakeService().client().jobs.create(epochs=0)
    assert caught.value.problem.status == 422


def test_list_requests_page_after_page() -> None:
    service = FakeService()
    for number in range(250):
        service.add(make_job(f"job_{number}"))
    jobs = service.client().jobs.list()
    assert [job.id for job in jobs] == [f"job_{number}" for number in reversed(range(250))]
    assert len(service.requests) == 3


def test_list_stops_at_the_limit_without_another_request() -> None:
    service = FakeService()
    for number in range(9):
        service.add(make_job(f"job_{number}"))
    assert [job.id for job in service.client().jobs.list(limit=2)] == ["job_8", "job_7"]
    assert len(service.requests) == 1


@pytest.mark.parametrize("state", ["paused", ["paused"], ["paused", "failed"]])
def test_list_can_be_limited_to_states(state: str | list[str]) -> None:
    service = FakeService()
    service.add(make_job("job_1", "paused"))
    service.add(make_job("job_2", "running"))
    assert [job.id for job in service.client().jobs.list(state=state)] == ["job_1"]


def test_actions_bring_the_handle_up_to_date() -> None:
    service = FakeService()
    service.add(make_job("job_1"))
    job = service.client().jobs.get("job_1")
    assert job.pause().state == "paused"
    assert job.resume().state == "queued"
    assert job.cancel().state == "cancelled"
    service.add(make_job("job_1", "running", done=2))
    assert job.refresh().metrics.latest == make_epoch(2)


def test_an_action_that_the_state_does_not_allow_is_refused_in_the_servers_words() -> None:
    service = FakeService()
    service.add(make_job("job_1", "succeeded", done=3))
    with pytest.raises(RefusedError, match="can't do 'pause'"):
        service.client().jobs.get("job_1").pause()


def test_a_deleted_job_is_not_found() -> None:
    service = FakeService()
    service.add(make_job("job_1"))
    service.client().jobs.get("job_1").delete()
    with pytest.raises(NotFoundError, match="There is no job 'job_1'"):
        service.client().jobs.get("job_1")


def test_epochs_and_curves_are_read_from_the_server() -> None:
    service = FakeService()
    service.add(make_job("job_1", done=2))
    job = service.client().jobs.get("job_1")
    assert job.epochs() == [make_epoch(1), make_epoch(2)]
    assert job.curves("svg") == b"a svg of /v1/jobs/job_1/curves.svg"


def test_curves_of_several_jobs_come_in_one_picture() -> None:
    service = FakeService()
    client = service.client()
    client.curves([client.jobs.create(), "job_9"])
    assert service.requests[-1].url.params["jobs"] == "job_1,job_9"


def test_presets_are_listed() -> None:
    assert [preset.name for preset in FakeService().client().presets()] == ["linear"]
