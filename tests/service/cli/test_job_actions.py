"""The commands `show`, `watch`, `pause`, `resume`, `cancel` and `delete` of `mlp-service`."""

import json

import pytest

from service.cli import job_actions
from service.cli.options import job_id
from service.cli.terminal import as_options
from tests.support.command_line import run
from tests.support.fake_service import FakeService, make_job, message, problem, serving


def service_with(**states: str) -> FakeService:
    service = FakeService()
    for name, state in states.items():
        service.add(make_job(name, state, done=3))
    return service


@pytest.mark.parametrize(
    "text",
    [
        "job_1",
        "http://127.0.0.1:8000/v1/jobs/job_1",
        "https://host/mlp/v1/jobs/job_1/events?after=3",
        "http://127.0.0.1:8000/v1/models/job_1/predict",
    ],
)
def test_a_job_may_be_named_by_its_url(text: str) -> None:
    assert job_id(text) == "job_1"


def test_show_prints_what_is_known_about_a_job() -> None:
    service = FakeService()
    service.add(make_job("job_1", "failed", 2, message="It\ndiverged.", hidden=[30, 20], name="a"))
    with serving(service) as url:
        result = run("show", f"{url}/v1/jobs/job_1", "--url", url)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "job        job_1",
        "name       a",
        "state      failed: It diverged.",
        "hidden     30-20 units, relu",
        "data set   mnist",
        "training   3 epochs of sgd, learning rate 0.1, batches of 64, seed 1",
        "progress   2 of 3 epochs, about 4 s left",
        "latest     epoch 2: test accuracy 98.00%, test loss 0.5500, training accuracy 90.00%",
        "submitted  2026-11-22 00:00:00 UTC",
        f"url        {url}/v1/jobs/job_1",
    ]


def test_show_prints_the_record_as_json() -> None:
    with serving(service_with(job_1="running")) as url:
        record = json.loads(run("show", "job_1", "--json", "--url", url).stdout)
    assert (record["object"], record["id"], record["state"]) == ("job", "job_1", "running")


def test_an_unknown_job_is_named_on_stderr() -> None:
    with serving(FakeService()) as url:
        result = run("show", "job_9", "--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "There is no job 'job_9'.\n"


def test_watch_prints_the_results_of_every_job() -> None:
    with serving(service_with(job_1="succeeded", job_2="succeeded")) as url:
        result = run("watch", "job_1", "job_2", "--url", url)
    assert result.exit_code == 0
    assert result.stdout.count("test accuracy 98.00% after 3 epochs") == 2
    assert result.stdout.index("job_1\n") < result.stdout.index("job_2\n")


def test_watch_reports_every_job_and_exits_with_1_if_one_has_failed() -> None:
    service = service_with(job_1="cancelled", job_3="succeeded")
    service.add(make_job("job_2", "failed", message="The loss is not finite."))
    with serving(service) as url:
        result = run("watch", "job_1", "job_2", "job_3", "--url", url)
    assert result.exit_code == 1
    assert "job_1 cancelled\njob_2 failed: The loss is not finite.\njob_3\n" in result.stdout


def test_watch_shows_the_jobs_that_are_there_and_names_the_others() -> None:
    with serving(service_with(job_1="succeeded")) as url:
        result = run("watch", "job_0", "job_1", "--url", url)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "job_1")
    assert result.stderr.startswith("job_0: ")


def test_watch_with_json_prints_each_final_record_once() -> None:
    with serving(service_with(job_1="succeeded", job_2="failed")) as url:
        result = run("watch", "job_1", "job_2", "--json", "--url", url)
    states = [json.loads(line)["state"] for line in result.stdout.splitlines()]
    assert (result.exit_code, states) == (1, ["succeeded", "failed"])


@pytest.mark.parametrize(
    ("command", "state"), [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")]
)
def test_an_action_applies_to_several_jobs(command: str, state: str) -> None:
    service = service_with(job_1="running", job_2="running")
    with serving(service) as url:
        result = run(command, "job_1", "job_2", "--url", url)
    assert (result.exit_code, result.stdout) == (0, f"job_1 {state}\njob_2 {state}\n")
    assert f"POST /v1/jobs/job_2/{command}" in service.paths()


def test_an_action_with_json_prints_the_changed_record() -> None:
    with serving(service_with(job_1="running")) as url:
        result = run("pause", "job_1", "--json", "--url", url)
    assert json.loads(result.stdout)["state"] == "paused"


def test_an_action_that_the_state_does_not_allow_is_refused() -> None:
    with serving(service_with(job_1="succeeded")) as url:
        result = run("cancel", "job_1", "--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "final state" in result.stderr


@pytest.mark.parametrize(
    ("command", "done"), [("pause", "paused"), ("cancel", "cancelled"), ("delete", "deleted")]
)
def test_a_job_that_is_refused_does_not_keep_the_others(command: str, done: str) -> None:
    started = "failed" if command == "delete" else "running"
    service = service_with(job_1=started, job_3=started)
    with serving(service) as url:
        result = run(command, "job_1", "job_2", "job_3", "--url", url)
    assert (result.exit_code, result.stdout) == (1, f"job_1 {done}\njob_3 {done}\n")
    assert result.stderr.startswith("job_2: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("send ?force=true: they", "send --force: they"),
        ("or send `?force=true`.", "or send `--force`."),
        ("with ?split= or ?dataset=, or", "with --split or --dataset, or"),
        ("use ?top_k=5.", "use --top-k 5."),
        ("leave out ?normalize.", "leave out ?normalize."),
        ("GET /v1/datasets/x?force=true", "GET /v1/datasets/x?force=true"),
    ],
)
def test_query_parameters_are_spelled_as_options_that_the_command_has(
    text: str, spelled: str
) -> None:
    options = ["--force", "--split", "--dataset", "--top-k", "-y"]
    assert as_options(text, options) == spelled


def test_delete_in_a_script_does_not_ask() -> None:
    service = service_with(job_1="failed", job_2="failed")
    with serving(service) as url:
        plain = run("delete", "job_1", "--url", url)
        as_json = run("delete", "job_2", "--json", "--url", url)
    assert (plain.exit_code, plain.stdout) == (0, "job_1 deleted\n")
    assert json.loads(as_json.stdout) == {"id": "job_2", "deleted": True}
    assert service.jobs == {}


@pytest.mark.parametrize(("answer", "left"), [("n\n", ["job_1"]), ("y\n", [])])
def test_delete_on_a_terminal_asks_first(
    answer: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actions, "is_interactive", lambda: True)
    service = service_with(job_1="failed")
    with serving(service) as url:
        result = run("delete", "job_1", "--url", url, typed=answer)
    assert "Delete 1 job with all results?" in result.stdout + result.stderr
    assert list(service.jobs) == left


def test_delete_with_yes_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_actions, "is_interactive", lambda: True)
    service = service_with(job_1="failed")
    with serving(service) as url:
        assert run("delete", "-y", "job_1", "--url", url).exit_code == 0
    assert service.jobs == {}


def test_watch_without_a_job_prints_what_happens_to_all() -> None:
    service = FakeService()
    running = make_job("job_1", message="it\x1b began", name="seven").model_dump(mode="json")
    epoch = {"job": "job_1", "epoch": 1, "test_accuracy": 0.9786, "test_loss": 0.0712}
    service.streams.append(
        [
            message("hello", {"reset": True}, 1),
            message("job", running, 2),
            message("epoch", epoch, 3),
            message("progress", {"job_1": {}}),
            message("warning", {"job": "job_1", "message": "Look out."}, 4),
            message("job", {"id": "job_1", "deleted": True}, 5),
        ]
    )

    service.routes.insert(0, ("GET /v1/jobs", lambda _: problem(401, "The key was revoked.")))
    with serving(service) as url:
        result = run("watch", "--url", url)
    assert result.stdout.splitlines() == [
        "job_1  running (seven): it\N{REPLACEMENT CHARACTER} began",
        "job_1  epoch 1: test accuracy 97.86%, loss 0.0712",
        "job_1  warning: Look out.",
        "job_1  deleted",
    ]
    assert result.exit_code == 1
    assert "The key was revoked." in result.stderr


def test_watch_prints_all_events_as_json() -> None:
    service = FakeService()
    service.streams.append([message("hello", {"reset": True}, 1), message("progress", {})])
    service.routes.insert(0, ("GET /v1/jobs", lambda _: problem(401, "Revoked.")))
    with serving(service) as url:
        lines = run("watch", "--json", "--url", url).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"type": "hello", "cursor": 1, "data": {"reset": True}},
        {"type": "progress", "cursor": 1, "data": {}},
    ]
