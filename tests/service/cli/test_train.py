"""The command `mlp-service train`."""

import json

import pytest

from mlp_client import Client, JobHandle
from service.cli.train import result_lines, spec_fields
from tests.support.command_line import run, usage_error
from tests.support.fake_service import FakeService, serving


def follow_up(url: str, key: str = "") -> str:
    """Return the commands that `train` prints for a job that it does not wait for."""
    return (
        f"watch    curl -N{key} {url}/v1/jobs/job_1/events\n"
        f"cancel   curl -X POST{key} {url}/v1/jobs/job_1/cancel\n"
    )


def test_train_sends_only_the_given_options_and_prints_the_results() -> None:
    service = FakeService()
    service.finishes_immediately = True
    with serving(service) as url:
        result = run("train", "--url", url, "--hidden", "64,32", "--epochs", 4, "--seed", 7)
    assert result.exit_code == 0
    assert json.loads(service.requests[0].content) == {
        "preset": "mlp-relu",
        "hidden": [64, 32],
        "epochs": 4,
        "seed": 7,
    }
    assert "test accuracy 98.00% after 4 epochs, 2.0 s" in result.stdout
    assert f"{url}/v1/jobs/job_1/curves.png" in result.stdout
    assert f"{url}/v1/models/job_1/weights.safetensors" in result.stdout


def test_the_printed_predict_command_names_the_server_unless_it_is_the_default() -> None:
    service = FakeService()
    service.finishes_immediately = True
    with serving(service) as url:
        result = run("train", "--url", url)
    assert result.stdout.endswith(
        f"predict  mlp-service predict --model job_1 --url {url} IMAGE...\n"
    )
    lines = result_lines(service.client().jobs.create(), Client().base_url)
    assert lines[-1] == "predict  mlp-service predict --model job_2 IMAGE..."


def test_ctrl_c_stops_the_waiting_and_prints_commands_to_continue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(job: JobHandle, progress: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobHandle, "wait", interrupted)
    with serving(FakeService()) as url:
        result = run("train", "--url", url)
    assert (result.exit_code, result.stdout) == (130, f"{url}/v1/jobs/job_1\n")
    assert result.stderr == "Stopped waiting; the job continues.\n" + follow_up(url)


def test_printed_commands_use_the_key_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_API_KEY", "mlp_secret")
    with serving(FakeService()) as url:
        result = run("train", "--url", url, "--no-wait")
    assert result.stderr == follow_up(url, ' -H "Authorization: Bearer $MLP_API_KEY"')


def test_a_single_epoch_is_not_printed_as_a_plural() -> None:
    service = FakeService()
    service.finishes_immediately = True
    with serving(service) as url:
        result = run("train", "--url", url, "--epochs", 1)
    assert "after 1 epoch, " in result.stdout


def test_train_without_hidden_layers_and_without_waiting() -> None:
    service = FakeService()
    with serving(service) as url:
        result = run("train", "--url", url, "--hidden", "", "--no-wait")
    assert json.loads(service.requests[0].content)["hidden"] == []
    assert (result.stdout, result.stderr) == (f"{url}/v1/jobs/job_1\n", follow_up(url))


def test_set_takes_any_field_of_a_spec() -> None:
    service = FakeService()
    given = [
        "optimizer=adamw",
        "schedule=cosine",
        'augmentation={"rotation": 5, "elastic": 0}',
        "l2=1e-4",
        "tags=[]",
        "preset=linear",
        "metadata=a=b",
        "initial_bias=NaN",
    ]
    with serving(service) as url:
        run("train", "--url", url, "--no-wait", *(part for it in given for part in ("--set", it)))
    assert json.loads(service.requests[0].content) == {
        "preset": "linear",
        "optimizer": "adamw",
        "schedule": "cosine",
        "augmentation": {"rotation": 5, "elastic": 0},
        "l2": 1e-4,
        "tags": [],
        "metadata": "a=b",
        "initial_bias": "NaN",
    }


@pytest.mark.parametrize("text", ["cosine", "=cosine"])
def test_set_refuses_a_text_without_a_name_or_a_value(text: str) -> None:
    assert "FIELD=VALUE, such as l2=1e-4" in usage_error(run("train", "--set", text))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--hidden", "30", "--hidden=20"),
            "--hidden is given twice; leave one out. Layers are a single list: --hidden 30,20.",
        ),
        (("--epochs", 1, "--epochs", 1), "--epochs is given twice; leave one out."),
        (("--epochs", 1, "--set", "epochs=2"), "--set epochs=2: epochs is given twice"),
        (("--set", "l2=0", "--set", "l2=1"), "--set l2=1: l2 is given twice"),
        (("--preset", "linear", "--set", "preset=x"), "--set preset=x: preset is given twice"),
    ],
)
def test_a_field_that_is_given_twice_is_refused(given: tuple[object, ...], message: str) -> None:
    service = FakeService()
    with serving(service) as url:
        assert message in usage_error(run("train", "--url", url, *given))
    assert service.requests == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'optimizer={"type":"sgd"',
            """invalid JSON at character 14, after '{"type":"sgd"': Expecting ','""",
        ),
        ("hidden= [30;20]", "invalid JSON at character 5, after ' [30': Expecting ','"),
    ],
)
def test_the_position_of_invalid_json_is_named(text: str, message: str) -> None:
    name = text.partition("=")[0]
    assert f"--set {name}: {message}" in usage_error(run("train", "--set", text))


@pytest.mark.parametrize(
    "given",
    ["l2=1e999", 'metadata={"a":1e999}', "a=" + "[" * 100_000, "name=\udcff", "\udcff=1"],
)
def test_a_value_that_is_not_json_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"nested|can't be written"):
        spec_fields({}, [given])


def test_layers_that_are_not_numbers_are_refused() -> None:
    message = usage_error(run("train", "--hidden", "128x64"))
    assert "--hidden: '128x64' is not a list of whole numbers such as 128,64" in message


def test_a_refusal_by_the_server_is_printed_without_a_traceback() -> None:
    with serving(FakeService()) as url:
        result = run("train", "--url", url, "--epochs", 0)
    assert result.exit_code == 1
    assert result.stderr == "Refused\n  #/epochs: is below 1 (give 1 or more)\n"
