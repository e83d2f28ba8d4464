"""The commands `mlp-service keys create`, `list` and `revoke`."""

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from tests.support.command_line import run, usage_error

MINUTE = r"20\d\d-\d\d-\d\d \d\d:\d\d"


def test_a_key_is_printed_alone_and_listed_without_its_secret(tmp_path: Path) -> None:
    made = run("keys", "create", "--owner", "ada", "--data-dir", tmp_path / "new")
    assert re.fullmatch(r"mlp_[a-z0-9]{10}_[\w-]{43}\n", made.stdout)
    assert "MLP_API_KEY" in made.stderr
    id_ = made.stdout.split("_")[1]
    limited = ("--scope", "read", "--scope", "predict", "--expires", "90d")
    named = ("--name", "laptop of the lab")
    run("keys", "create", "--owner", "bob", *named, *limited, "--data-dir", tmp_path / "new")
    listed = run("keys", "list", "--data-dir", tmp_path / "new").stdout
    first, second = (line.split("\t") for line in listed.splitlines())
    assert (first[:4], first[5:]) == ([id_, "-", "ada", "predict, read, train"], ["never", "valid"])
    assert re.fullmatch(MINUTE, first[4])
    assert second[1:4] == ["laptop of the lab", "bob", "predict, read"]
    assert re.fullmatch(rf"expires {MINUTE} UTC", second[6])
    assert made.stdout.strip()[-43:] not in listed
    revoked = run("keys", "revoke", id_, "--data-dir", tmp_path / "new")
    assert (revoked.exit_code, revoked.stderr) == (0, f"{id_} is revoked\n")
    assert "\trevoked 20" in run("keys", "list", "--data-dir", tmp_path / "new").stdout


def test_keys_are_listed_as_json(tmp_path: Path) -> None:
    options = ("--owner", "app", "--name", "kiosk", "--scope", "predict", "--models-of", "teacher")
    made = run("keys", "create", *options, "--data-dir", tmp_path)
    assert "teacher has no jobs yet" in made.stderr
    id_ = made.stdout.split("_")[1]
    used = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with closing(Database(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")) as database:
        ApiKeyStore(database).note_uses({id_: used})
    [record] = map(
        json.loads, run("keys", "list", "--json", "--data-dir", tmp_path).stdout.split("\n")[:-1]
    )
    assert datetime.fromisoformat(record.pop("created_at")).tzinfo is not None
    assert record == {
        "id": id_,
        "name": "kiosk",
        "owner": "app",
        "scopes": ["predict"],
        "models_of": "teacher",
        "last_used_at": "2026-01-31T12:00:00+00:00",
        "expires_at": None,
        "revoked_at": None,
        "valid": True,
    }
    [line] = run("keys", "list", "--data-dir", tmp_path).stdout.splitlines()
    assert "predict (models of teacher)" in line
    assert "\t2026-01-31 12:00\tvalid" in line


def test_a_narrow_terminal_gets_a_table_with_every_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    options = ("--name", "laptop of the lab", "--expires", "90d", "--data-dir", tmp_path)
    secret = run("keys", "create", "--owner", "ada", *options).stdout
    table = run("keys", "list", "--data-dir", tmp_path).stdout
    assert "last used" in table
    assert f"│ {secret.split('_')[1]} │" in table
    for word in ("laptop", "lab", "predict", "read", "train", "never", "expires", "UTC"):
        assert word in table


@pytest.mark.parametrize(
    "scopes",
    [(), ("read",), ("predict", "read"), ("predict", "train"), ("predict", "admin"), ("admin",)],
    ids=str,
)
def test_models_of_another_owner_are_only_for_keys_that_do_nothing_but_predict(
    tmp_path: Path, scopes: tuple[str, ...]
) -> None:
    options = [part for scope in scopes for part in ("--scope", scope)]
    result = run(
        *("keys", "create", "--owner", "app", "--models-of", "teacher", *options),
        *("--data-dir", tmp_path / "new"),
    )
    message = usage_error(result)
    assert "--models-of" in message
    assert "--scope predict, and no other scope" in message
    assert not (tmp_path / "new").exists()


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
        (("--owner", "ada", "--name", ""), "--name"),
        (("--owner", "ada", "--name", "  "), "--name"),
        (("--owner", "ada", "--name", "x" * 65), "--name"),
        (("--owner", "ada", "--name", "red\x1b[31m"), "--name"),
        (("--owner", "ada", "--scope", "predict", "--models-of", "a/b"), "--models-of"),
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
