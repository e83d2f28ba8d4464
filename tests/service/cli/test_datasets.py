"""The commands `mlp-service datasets`."""

import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.command_line import run, usage_error
from tests.support.fake_datasets import FakeDatasets, failed, make_dataset
from tests.support.fake_service import serving

FOUND = {
    "rows": {"train": 8, "test": 2},
    "classes": [
        {"index": 0, "name": "a", "train": 5, "test": 1},
        {"index": 1, "name": "b", "train": 3, "test": 1},
    ],
    "found": {"format": "zip", "inverted": True, "ignored": {"system files": 3}},
    "warnings": [
        {"code": "leak", "detail": "Two rows are in both.", "count": 2, "examples": ["a/1", "b/2"]}
    ],
}


@pytest.fixture
def service(tmp_path: Path) -> FakeDatasets:
    """A service that finds a set ready at the first look, and a folder `letters` to send."""
    for name in ("a", "b"):
        (tmp_path / "letters" / name).mkdir(parents=True)
        (tmp_path / "letters" / name / "1.png").write_bytes(name.encode())
    service = FakeDatasets()
    service.ends = [make_dataset("letters", shape=[8, 9])]
    service.found = FOUND
    return service


def test_a_folder_is_sent_as_a_zip_and_what_was_found_is_printed(service: FakeDatasets) -> None:
    with serving(service) as url:
        result = run("datasets", "add", "letters", "letters", "--test", 0.2, "--url", url)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "letters is ready: 8 train + 2 test rows of 8x9, 2 classes",
        "classes  a, b",
        "format   zip",
        "inverted yes",
        "ignored  3 system files",
        "warning  leak: Two rows are in both.",
        "         a/1",
        "         b/2",
        "train    mlp-service train --dataset letters",
    ]
    assert result.stderr == "letters: sending\nletters: ready\n"
    [(options, files)] = service.sent
    assert options == {"split": {"test": 0.2}}
    [data] = files.values()
    assert zipfile.ZipFile(BytesIO(data)).namelist() == ["a/1.png", "b/1.png"]


def test_options_are_sent_as_they_are_given(service: FakeDatasets) -> None:
    options = ["--size", "28x20", "--no-invert", "--normalize", "--set", 'classes=["x","y"]']
    options += ["--ignore-column", "id", "--ignore-column", "file name"]
    with serving(service) as url:
        run("datasets", "add", "letters", "letters/a/1.png", *options, "--url", url)
    [(sent, _)] = service.sent
    given = {"size": "28x20", "invert": False, "normalize": True, "classes": ["x", "y"]}
    given |= {"ignore_columns": ["id", "file name"]}
    assert sent == given


def test_several_files_are_sent_together(service: FakeDatasets) -> None:
    paths = ["letters/a/1.png", "letters/b/1.png"]
    with serving(service) as url:
        result = run("datasets", "add", "letters", *paths, "--json", "--url", url)
    assert json.loads(result.stdout)["state"] == "ready"
    assert service.paths()[0] == "POST /v1/datasets"


def test_without_waiting_the_address_is_printed(service: FakeDatasets) -> None:
    with serving(service) as url:
        result = run("datasets", "add", "letters", "letters", "--no-wait", "--url", url)
        assert (result.stdout, result.stderr) == (f"{url}/v1/datasets/letters\n", "")
    assert len(service.requests) == 1


def test_files_that_can_not_be_used_end_in_one_message_and_1(service: FakeDatasets) -> None:
    service.ends = [failed("letters", "The zip file is damaged.")]
    service.found = {"errors": [{"code": "x", "detail": "It ends early.", "place": "a/1.png"}]}
    with serving(service) as url:
        result = run("datasets", "add", "letters", "letters", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2:] == [
        "Data set letters can't be used: The zip file is damaged.",
        "  a/1.png: It ends early.",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["letters", "--set", "size"], "not of the form FIELD=VALUE"),
        (["letters", "--size", "8", "--set", "size=9"], "size is given twice"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_sent(
    service: FakeDatasets, arguments: list[str], message: str
) -> None:
    assert message in usage_error(run("datasets", "add", "letters", *arguments))


def test_a_path_that_is_not_there_is_named(service: FakeDatasets) -> None:
    with serving(service) as url:
        result = run("datasets", "add", "letters", "nowhere.zip", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.endswith("nowhere.zip: No such file or directory\n")


def test_the_list_has_a_line_for_each_set(service: FakeDatasets) -> None:
    service.sets = {
        "letters": make_dataset("letters", shape=[8, 9], warnings=1),
        "new": make_dataset("new", "checking"),
    }
    with serving(service) as url:
        result = run("datasets", "list", "--url", url)
        as_json = run("datasets", "list", "--json", "--url", url)
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["letters", "ready", "8", "2", "2", "8x9", "1"],
        ["new", "checking", "-", "-", "-", "-", "0"],
    ]
    assert [json.loads(line)["name"] for line in as_json.stdout.splitlines()] == ["letters", "new"]


def test_the_report_has_a_line_for_each_finding(service: FakeDatasets) -> None:
    service.sets["letters"] = make_dataset("letters")
    service.ends = []
    with serving(service) as url:
        result = run("datasets", "report", "letters", "--url", url)
        as_json = run("datasets", "report", "letters", "--json", "--url", url)
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["rows", "train", "8", ""],
        ["rows", "test", "2", ""],
        ["class", "a", "6", "5 train, 1 test"],
        ["class", "b", "4", "3 train, 1 test"],
        ["found", "format", "", "zip"],
        ["found", "inverted", "", "yes"],
        ["ignored", "system files", "3", ""],
        ["warning", "leak", "2", "Two rows are in both."],
        ["", "", "", "a/1"],
        ["", "", "", "b/2"],
    ]
    assert json.loads(as_json.stdout)["warnings"][0]["code"] == "leak"


def test_the_report_of_a_failure_begins_with_what_is_wrong(service: FakeDatasets) -> None:
    service.sets["x"] = failed("x", "no")
    service.ends = []
    flaw = {"code": "web_page", "detail": "A web page.", "place": "x.gz", "hint": "Fetch it."}
    service.found = {"errors": [flaw]}
    with serving(service) as url:
        result = run("datasets", "report", "x", "--url", url)
    assert result.stdout == "error\tweb_page\t\tx.gz: A web page. Fetch it.\n"


def test_a_set_is_deleted_and_one_in_use_only_by_force(service: FakeDatasets) -> None:
    service.sets["letters"] = make_dataset("letters")
    service.ends = []
    with serving(service) as url:
        refused = run("datasets", "delete", "letters", "--url", url)
        done = run("datasets", "delete", "letters", "--force", "--json", "--url", url)
    assert refused.exit_code == 1
    assert "job_1. Delete them first, or send --force: the networks still" in refused.stderr
    assert "?force" not in refused.stderr
    assert json.loads(done.stdout) == {"name": "letters", "deleted": True}
    assert "letters" not in service.sets


def test_a_set_that_is_refused_does_not_keep_the_others(service: FakeDatasets) -> None:
    service.sets |= {name: make_dataset(name) for name in ("first", "second")}
    service.ends = []
    with serving(service) as url:
        command = ("datasets", "delete", "first", "nowhere", "second", "--force", "--url", url)
        result = run(*command)
    assert (result.exit_code, result.stdout) == (1, "first deleted\nsecond deleted\n")
    assert result.stderr.startswith("nowhere: ")
    assert list(service.sets) == ["mnist"]


def test_a_job_is_trained_on_a_set_by_its_name(service: FakeDatasets) -> None:
    with serving(service) as url:
        run("train", "--dataset", "letters", "--no-wait", "--url", url)
    assert json.loads(service.requests[0].content)["dataset"] == "letters"


def test_a_set_is_made_of_another_one_and_what_was_found_is_printed(service: FakeDatasets) -> None:
    service.ends = [make_dataset("few", shape=[8, 9])]
    with serving(service) as url:
        command = ("datasets", "derive", "few", "letters", "--rows", 4, "--class", "b")
        result = run(*command, "--class", "a", "--test", 0.5, "--seed", 3, "--url", url)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("few is ready: 8 train + 2 test rows of 8x9, 2 classes")
    [(body, _)] = service.sent
    assert body["from"] == {
        "dataset": "letters",
        "rows": 4,
        "seed": 3,
        "classes": ["b", "a"],
        "split": {"test": 0.5, "seed": 3},
    }


def test_a_set_is_asked_for_without_waiting(service: FakeDatasets) -> None:
    with serving(service) as url:
        result = run("datasets", "derive", "few", "letters", "--no-wait", "--url", url)
    assert result.stdout == f"{url}/v1/datasets/few\n"
    [(body, _)] = service.sent
    assert body == {"name": "few", "from": {"dataset": "letters"}}
