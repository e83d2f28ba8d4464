import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import numpy as np
import pytest
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from mlp_client import Client, JobHandle
from service import __version__
from service.cli import demo, main, predict
from service.cli import train as training
from service.cli.main import app
from service.store.sql.migrate import migrate
from tests.support.fake_service import FakeService, make_job, serving

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    """No settings of this machine, no `.env` file of this folder."""
    for name in [name for name in os.environ if name.startswith("MLP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_help_names_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "service", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "Usage: mlp-service" in done.stdout
    assert all(word in done.stdout for word in ("serve", "train", "predict", "health", "demo"))


def test_version_is_told():
    assert run("--version").stdout == f"mlp-service {__version__}\n"


def test_health_imports_nothing_heavy():
    code = """
import sys
from typer.testing import CliRunner
from service.cli.main import app
CliRunner().invoke(app, ["health", "--url", "http://127.0.0.1:1"])
heavy = {"numpy", "fastapi", "sqlalchemy", "matplotlib", "PIL", "mlp_client"}
print(*(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_client_imports_nothing_of_the_server():
    code = """
import sys, mlp_client
heavy = {"numpy", "fastapi", "sqlalchemy", "matplotlib", "PIL", "service.settings", "mlp_core"}
print(*(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.parametrize("command", ["serve", "health", "demo"])
def test_invalid_setting_is_named_in_one_line(command, monkeypatch):
    monkeypatch.setenv("MLP_PORT", "eighty")
    result = run(command)
    assert result.exit_code == 2
    assert result.stderr.startswith("MLP_PORT: Input should be a valid integer")
    assert result.stderr.count("\n") == 1


def test_invalid_option_names_its_setting():
    result = run("serve", "--port", 99999)
    assert (result.exit_code, result.stderr.split(":")[0]) == (2, "MLP_PORT")


def test_health_is_fine_if_the_server_is_ready(monkeypatch):
    with serving(FakeService()) as url:
        monkeypatch.setenv("MLP_HOST", "0.0.0.0")
        monkeypatch.setenv("MLP_PORT", url.rpartition(":")[2])
        result = run("health")
    assert (result.exit_code, result.stdout) == (0, f"{url} is ready\n")


def test_health_calls_the_server_by_a_name_it_answers_to(monkeypatch):
    service = FakeService()
    with serving(service) as url:
        monkeypatch.setenv("MLP_PORT", url.rpartition(":")[2])
        monkeypatch.setenv("MLP_ALLOWED_HOSTS", "mlp.example.org,localhost")
        assert run("health").exit_code == 0
    assert service.requests[0].headers["Host"] == "mlp.example.org"


def test_health_fails_if_the_server_is_not_ready():
    service = FakeService()
    service.routes.insert(0, ("GET /readyz", lambda request: httpx2.Response(503, text="no")))
    with serving(service) as url:
        result = run("health", "--url", url)
    assert (result.exit_code, result.stderr) == (1, f"{url} is not ready: 503 no\n")


def test_the_scheme_of_an_address_may_be_left_out(monkeypatch):
    with serving(FakeService()) as url:
        address = url.removeprefix("http://")
        assert run("health", "--url", address).stdout == f"{url} is ready\n"
        assert run("train", "--no-wait", "--url", address).stdout == f"{url}/v1/jobs/job_1\n"
        monkeypatch.setenv("MLP_SERVICE_URL", address)
        assert run("health").exit_code == 0


def test_health_fails_if_nobody_answers():
    result = run("health", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr


def test_train_sends_only_what_was_given_and_tells_the_results():
    service = FakeService()
    service.finishes_at_once = True
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


def test_the_command_that_predicts_names_an_address_that_is_not_the_default():
    service = FakeService()
    service.finishes_at_once = True
    with serving(service) as url:
        result = run("train", "--url", url)
    assert result.stdout.endswith(
        f"predict  mlp-service predict --model job_1 --url {url} IMAGE...\n"
    )
    told = training.result(service.client().jobs.create(), Client().base_url)
    assert told[-1] == "predict  mlp-service predict --model job_2 IMAGE..."


def ways_on(url, key=""):
    return (
        f"watch    curl -N{key} {url}/v1/jobs/job_1/events\n"
        f"cancel   curl -X POST{key} {url}/v1/jobs/job_1/cancel\n"
    )


def test_ctrl_c_stops_the_waiting_and_says_how_to_go_on(monkeypatch):
    def interrupted(job, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(JobHandle, "wait", interrupted)
    with serving(FakeService()) as url:
        result = run("train", "--url", url)
    assert (result.exit_code, result.stdout) == (130, f"{url}/v1/jobs/job_1\n")
    assert result.stderr == "Stopped waiting; the job goes on.\n" + ways_on(url)


def test_ways_to_go_on_carry_the_key_without_showing_it(monkeypatch):
    monkeypatch.setenv("MLP_API_KEY", "mlp_secret")
    with serving(FakeService()) as url:
        result = run("train", "--url", url, "--no-wait")
    assert result.stderr == ways_on(url, ' -H "Authorization: Bearer $MLP_API_KEY"')


def test_train_counts_a_single_epoch():
    service = FakeService()
    service.finishes_at_once = True
    with serving(service) as url:
        result = run("train", "--url", url, "--epochs", 1)
    assert "after 1 epoch, " in result.stdout


def test_train_without_hidden_layers_and_without_waiting():
    service = FakeService()
    with serving(service) as url:
        result = run("train", "--url", url, "--hidden", "", "--no-wait")
    assert json.loads(service.requests[0].content)["hidden"] == []
    assert (result.stdout, result.stderr) == (f"{url}/v1/jobs/job_1\n", ways_on(url))


def test_train_sets_any_field_of_a_spec():
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
def test_train_refuses_to_set_what_has_no_name_or_value(text):
    result = run("train", "--set", text)
    assert result.exit_code == 2
    assert "FIELD=VALUE" in result.stderr


def complaint(result):
    """Return what is said of wrong usage, without the frame around it and its line ends."""
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ("--hidden", "30", "--hidden=20"),
            "--hidden is given twice; leave one out. Layers are one list: --hidden 30,20.",
        ),
        (("--epochs", 1, "--epochs", 1), "--epochs is given twice; leave one out."),
        (("--epochs", 1, "--set", "epochs=2"), "--set epochs=2: epochs is given twice"),
        (("--set", "l2=0", "--set", "l2=1"), "--set l2=1: l2 is given twice"),
        (("--preset", "linear", "--set", "preset=x"), "--set preset=x: preset is given twice"),
    ],
)
def test_train_refuses_a_field_that_is_given_twice(given, told):
    service = FakeService()
    with serving(service) as url:
        assert told in complaint(run("train", "--url", url, *given))
    assert service.requests == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'optimizer={"type":"sgd"',
            """the JSON is broken at character 14, behind '{"type":"sgd"': Expecting ','""",
        ),
        ("hidden= [30;20]", "the JSON is broken at character 5, behind ' [30': Expecting ','"),
    ],
)
def test_train_says_where_json_is_broken(text, told):
    name = text.partition("=")[0]
    assert f"--set {name}: {told}" in complaint(run("train", "--set", text))


def test_train_refuses_layers_that_are_no_numbers():
    result = run("train", "--hidden", "128x64")
    assert result.exit_code == 2
    assert "--hidden" in result.stderr


def test_refusal_is_told_without_a_traceback():
    with serving(FakeService()) as url:
        result = run("train", "--url", url, "--epochs", 0)
    assert result.exit_code == 1
    assert result.stderr == "Refused\n  #/epochs: is below 1 (give 1 or more)\n"


def test_ctrl_c_while_waiting_says_that_the_job_goes_on(capsys):
    with pytest.raises(typer.Exit) as caught, main._errors_in_one_line():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert "goes on" in capsys.readouterr().err


@pytest.fixture
def _terminal(monkeypatch):
    """Rich takes what stdout is for a terminal."""
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "90"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_terminal")
def test_predict_prints_a_table_on_a_terminal(tmp_path):
    path = tmp_path / "[red].png"
    Image.new("L", (28, 28)).save(path)
    with serving(FakeService()) as url:
        result = run("predict", path.name, path.name, "--url", url)
    assert result.exit_code == 0
    assert result.stdout.count("[red].png") == 2
    assert result.stdout.count("│ 7     │ 90.0%") == 2
    assert result.stdout.count("1 10.0%") == 2


@pytest.mark.usefixtures("_terminal")
def test_a_table_of_many_images_is_cut_and_says_so(tmp_path):
    np.save(tmp_path / "digits.npy", np.zeros((1052, 784), np.uint8))
    with serving(FakeService()) as url:
        result = run("predict", "digits.npy", "--url", url)
    assert result.stdout.count("│ 90.0%") == 50
    assert "digits.npy[49]" in result.stdout
    assert result.stderr == "1,002 more; `> predict.tsv` behind the command lists all\n"


def test_a_pipe_gets_a_line_for_each_image_in_the_order_of_the_files(tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a\tb.png")
    np.save(tmp_path / "digits.NPY", np.zeros((60, 28, 28), np.uint8))
    (tmp_path / "digits.NPY.npy").rename(tmp_path / "digits.NPY")
    service = FakeService()
    with serving(service) as url:
        files = ("digits.NPY", "a\tb.png", "digits.NPY")
        result = run("predict", *files, "--url", url, "--top-k", 2, "--model", "ref_7")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 121
    assert lines[0] == "digits.NPY[0]\t7\t90.0%\t1 10.0%\t"
    assert lines[60].startswith('"a\tb.png"\t7')
    assert lines[120].startswith("digits.NPY[59]\t")
    assert len(service.requests) == 3


def test_predict_refuses_a_missing_file():
    result = run("predict", "absent.png")
    assert result.exit_code == 2
    assert "absent.png" in result.stderr


def test_demo_refuses_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("demo", "--port", port, "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert f"port {port}: Address already in use. Choose another" in result.stderr


def test_demo_shows_the_last_words_of_a_server_that_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MLP_LOG_LEVEL", "shouting")
    server = demo.Server("127.0.0.1", free_port(), tmp_path, "http://127.0.0.1:1")
    with (
        pytest.raises(demo.DemoFailed, match=r"exit code 2; .*\nMLP_LOG_LEVEL: "),
        server.running(),
    ):
        raise AssertionError("it can't have started")


def test_demo_tour_compares_draws_and_predicts(tmp_path, capsys):
    service = FakeService()
    service.finishes_at_once = True
    with service.client() as client:
        assert demo._tour(client, Console(width=100), tmp_path, None)
    shown = capsys.readouterr().out
    for words in ("almost 98 %", "125.8 s", "98.00 %", "25.0 s", "predicted 7", "/v1/jobs/job_2/"):
        assert words in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curves-linear.png",
        "curves-mlp-relu.png",
        "curves-mlp-sigmoid.png",
        "curves.png",
        "drawing.png",
        "samples.png",
        "weights-linear.png",
        "weights-mlp-relu.png",
    ]


def test_demo_tour_with_a_failed_job_shows_the_others_and_does_not_pass(tmp_path, capsys):
    class Unlucky(FakeService):
        def create(self, request):
            answer = super().create(request)
            self.add(make_job("job_1", "failed", message="diverged"))
            return answer

    service = Unlucky()
    service.finishes_at_once = True
    with service.client() as client:
        assert not demo._tour(client, Console(width=100), tmp_path, None)
    shown = capsys.readouterr().out
    assert "job_1 failed: diverged" in shown
    assert "97.9 %" in shown


def test_demo_does_not_pass_below_the_accuracy_of_the_hand_in(capsys):
    service = FakeService()
    service.finishes_at_once = True
    client = service.client()
    jobs = {"linear": client.jobs.create(epochs=50), "mlp-relu": client.jobs.create(epochs=1)}
    for job in jobs.values():
        weak = job.metrics.final.model_copy(update={"test_accuracy": 0.9})
        metrics = job.metrics.model_copy(update={"final": weak})
        job.data = job.data.model_copy(update={"metrics": metrics})
    assert not demo._good_enough(Console(width=100), jobs)
    assert capsys.readouterr().out == "linear: 90.00% is less than 92.2%\n"  # 1 epoch is excused


def test_drawing_is_dark_on_light_and_off_centre():
    drawing = demo._draw_a_seven()
    assert drawing.size == (500, 400)
    assert drawing.getpixel((0, 0)) == 255
    left, _, _, bottom = drawing.point(lambda grey: 255 - grey).getbbox()
    assert left > 250
    assert bottom < 300


def test_sigterm_ends_the_demo_as_an_exception_does_so_that_it_cleans_up():
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit, match="143"), demo._terminable():
        threading.Event().wait(5)


# --- API keys ---


def test_a_key_is_printed_alone_and_listed_without_its_secret(tmp_path):
    made = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "new")
    assert re.fullmatch(r"mlp_[a-z0-9]{10}_[\w-]{43}\n", made.stdout)
    assert "MLP_API_KEY" in made.stderr
    id_ = made.stdout.split("_")[1]
    limited = ("--scope", "read", "--scope", "predict", "--expires", "90d")
    run("keys", "create", "--owner", "bob", *limited, "--data-dir", tmp_path / "new")
    listed = run("keys", "list", "--data-dir", tmp_path / "new").stdout
    first, second = listed.splitlines()
    assert first == f"{id_}  ada  predict,read,train  valid"
    assert re.search(r"  bob  predict,read  expires 20\d\d-\d\d-\d\d \d\d:\d\d UTC$", second)
    assert made.stdout.strip()[-43:] not in listed
    gone = run("keys", "revoke", id_, "--data-dir", tmp_path / "new")
    assert (gone.exit_code, gone.stderr) == (0, f"{id_} is revoked\n")
    assert " revoked 20" in run("keys", "list", "--data-dir", tmp_path / "new").stdout


def test_without_keys_the_list_says_that_the_service_is_open(tmp_path):
    migrate(f"sqlite:///{tmp_path}/jobs.sqlite3")
    listed = run("keys", "list", "--data-dir", tmp_path)
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "open to all" in listed.stderr


@pytest.mark.parametrize("asked", [("list",), ("revoke", "nope")], ids=str)
def test_keys_of_a_directory_without_a_database_are_not_looked_for(tmp_path, asked):
    result = run("keys", *asked, "--data-dir", tmp_path / "new")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path / 'new'} holds no database" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_key_for_a_new_server_says_where_it_is_kept(tmp_path):
    result = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "new")
    assert result.exit_code == 0
    assert f"{tmp_path / 'new'} holds no database yet" in result.stderr
    files = [tmp_path / "new", tmp_path / "new" / "jobs.sqlite3"]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o700, 0o600]


@pytest.mark.parametrize(
    ("options", "flaw"),
    [
        (("--owner", "a/b"), "--owner"),
        (("--owner", ""), "--owner"),
        (("--owner", "x" * 65), "--owner"),
        (("--owner", "ada\n"), "--owner"),
        (("--owner", "ada", "--scope", "root"), "--scope"),
        (("--owner", "ada", "--expires", "0d"), "--expires"),
        (("--owner", "ada", "--expires", "soon"), "--expires"),
    ],
)
def test_a_key_that_can_not_be_made_names_the_option(options, flaw, tmp_path):
    result = run("keys", "create", *options, "--data-dir", tmp_path / "new")
    assert result.exit_code == 2
    assert flaw in result.stderr
    assert not (tmp_path / "new").exists()


def test_an_unknown_key_and_a_folder_that_can_not_be_made_are_told_in_one_line(tmp_path):
    migrate(f"sqlite:///{tmp_path}/jobs.sqlite3")
    result = run("keys", "revoke", "nope", "--data-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "keys list" in result.stderr
    (tmp_path / "file").touch()
    result = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "file" / "x")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 2)


# --- Backup ---


def test_backup_copies_the_data_directory_and_says_what(tmp_path, empty_database):
    (tmp_path / "data").mkdir()
    shutil.copy(empty_database, tmp_path / "data" / "jobs.sqlite3")
    result = run("backup", tmp_path / "copy", "--data-dir", tmp_path / "data")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"0 jobs, 0 checkpoints, 0.0 MB of {tmp_path}/data in {tmp_path}/copy\n"
    again = run("backup", tmp_path / "copy", "--data-dir", tmp_path / "data")
    assert again.exit_code == 1
    assert again.stderr.startswith("No backup was made: ")
    assert "exists" in again.stderr
    inside = run("backup", tmp_path / "data" / "copy", "--data-dir", tmp_path / "data")
    assert inside.exit_code == 2
    assert "part of its original" in inside.stderr.replace("\n", "")


@pytest.mark.parametrize(
    "given",
    ["l2=1e999", 'metadata={"a":1e999}', "a=" + "[" * 100_000, "name=\udcff", "\udcff=1"],
)
def test_a_value_that_is_no_json_is_refused(given):
    with pytest.raises(ValueError, match=r"nested|can't be written"):
        training.fields({}, [given])


def test_what_a_server_says_can_not_steer_the_terminal():
    assert predict.printable("\x1b]0;owned\x07a\nb") == "�]0;owned�a\nb"
