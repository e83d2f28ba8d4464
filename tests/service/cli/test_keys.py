"""The commands `mlp-service keys create`, `list` and `revoke`."""

import re
from pathlib import Path

import pytest

from service.store.sql.migrate import migrate
from tests.support.command_line import run


def test_a_key_is_printed_alone_and_listed_without_its_secret(tmp_path: Path) -> None:
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
    revoked = run("keys", "revoke", id_, "--data-dir", tmp_path / "new")
    assert (revoked.exit_code, revoked.stderr) == (0, f"{id_} is revoked\n")
    assert " revoked 20" in run("keys", "list", "--data-dir", tmp_path / "new").stdout


def test_an_empty_list_says_that_the_service_is_open(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/jobs.sqlite3")
    listed = run("keys", "list", "--data-dir", tmp_path)
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "everyone who can reach the server may use it" in listed.stderr


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "nope")], ids=str)
def test_list_and_revoke_create_no_database(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run("keys", *arguments, "--data-dir", tmp_path / "new")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path / 'new'} has no database. Set --data-dir" in result.stderr
    assert not (tmp_path / "new").exists()


def test_the_first_key_says_where_the_new_database_is(tmp_path: Path) -> None:
    result = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "new")
    assert result.exit_code == 0
    assert f"{tmp_path / 'new'} has no database yet" in result.stderr
    files = [tmp_path / "new", tmp_path / "new" / "jobs.sqlite3"]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o700, 0o600]


@pytest.mark.parametrize(
    ("options", "flawed"),
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
def test_an_invalid_option_of_a_key_is_named(
    options: tuple[str, ...], flawed: str, tmp_path: Path
) -> None:
    result = run("keys", "create", *options, "--data-dir", tmp_path / "new")
    assert result.exit_code == 2
    assert flawed in result.stderr
    assert not (tmp_path / "new").exists()


def test_an_unknown_key_and_an_impossible_directory_are_reported_in_one_line(
    tmp_path: Path,
) -> None:
    migrate(f"sqlite:///{tmp_path}/jobs.sqlite3")
    result = run("keys", "revoke", "nope", "--data-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "keys list" in result.stderr
    (tmp_path / "file").touch()
    result = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "file" / "x")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 2)
