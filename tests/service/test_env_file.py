"""The file `.env`, and variables that nothing reads, as the commands report them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.env_file import NO_SETTINGS, UnreadableEnvFile, check, unknown_names
from service.settings import Settings

ROOT = Path(__file__).parents[2]
COMMANDS = [
    ("serve", "--port", "0"),
    ("demo",),
    ("backup", "copy"),
    ("health",),
    ("keys", "list"),
]


def command(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLP_")}
    return subprocess.run(
        [sys.executable, "-m", "service", *words],
        cwd=directory,
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def written(directory: Path, content: bytes) -> Path:
    path = directory / ".env"
    path.write_bytes(content)
    return path


# --- The file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "MLP_PORT=9000\n".encode("utf-16"),
        "MLP_PORT=9000\n".encode("utf-16-le"),
        "# für\n".encode("latin-1"),
        b"\x7fELF\0\0\1",
    ],
)
def test_a_file_that_is_no_text_in_utf_8_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnreadableEnvFile, match=r"is not text in UTF-8 .*; save it as UTF-8"):
        check(written(tmp_path, content))


@pytest.mark.parametrize("line", ["hello world", "MLP_PORT 9000", "=5"])
def test_a_line_that_is_no_setting_is_refused_by_its_number(line: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableEnvFile, match=r"line 3 is not NAME=value; correct or remove it"):
        check(written(tmp_path, f"# settings\nMLP_LOG_LEVEL=info\n{line}\n".encode()))


def test_lines_of_all_kinds_are_accepted(tmp_path: Path) -> None:
    lines = "\n\n# a\nexport MLP_PORT=1\nMLP_HOST = 'a b' # c\nOTHER=\nFLAG\nTWO=\"a\nb\"\n"
    check(written(tmp_path, lines.encode()))


@pytest.mark.parametrize(
    ("name", "value", "flaw"),
    [
        ("MLP_IDLE_SECONDS", "60s", "must be a whole number"),
        ("MLP_IDLE_SECONDS", "0", "must be 1 or more"),
        ("MLP_PORT", "70000", "must be 65535 or less"),
        ("MLP_INSECURE", "perhaps", "must be true or false"),
        ("MLP_MAX_JOB_FLOPS", "many", "must be a number"),
        ("MLP_MAX_JOB_FLOPS", "0", "must be greater than 0"),
        ("MLP_LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("MLP_ROOT_PATH", "mlp", "'mlp' does not begin with a slash; write /mlp"),
    ],
)
def test_a_value_that_is_not_valid_is_one_plain_line(
    name: str, value: str, flaw: str, tmp_path: Path
) -> None:
    done = command(tmp_path, "keys", "list", **{name: value})
    assert (done.returncode, done.stderr) == (2, f"{name}: {flaw}\n")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableEnvFile, match="is a directory, not a file of settings"):
        check(tmp_path)


def test_a_pipe_or_device_is_refused_without_reading_it(tmp_path: Path) -> None:
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(UnreadableEnvFile, match="is a pipe or a device"):
            check(path)


def test_a_file_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableEnvFile, match="more than 1,000,000 bytes"):
        check(written(tmp_path, b"#" * 1_000_001))


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / ".env"
    loop.symlink_to(loop)  # root could read a file without permissions
    with pytest.raises(UnreadableEnvFile, match="can't be read: Too many levels"):
        check(loop)


def test_the_mark_of_windows_editors_belongs_to_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLP_PORT", raising=False)
    written(tmp_path, b"\xef\xbb\xbfMLP_PORT=9000\r\n")
    check()
    assert Settings().port == 9000


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: str(words[0]))
def test_an_unreadable_file_ends_every_command_with_one_plain_line(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    written(tmp_path, "MLP_PORT=9000\r\n".encode("utf-16"))
    done = command(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(".env is not text in UTF-8")
    assert done.stderr.count("\n") == 1


# --- Unknown names --------------------------------------------------------------------------------


def test_a_misspelt_name_gets_a_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLP_ALOWED_HOSTS", "a")
    path = written(tmp_path, b"MLP_IDLE_SECOND=9\nMLP_PORT=1\nOTHER=1\n")
    assert unknown_names(Settings.model_fields, path) == [
        "MLP_ALOWED_HOSTS is unknown; did you mean MLP_ALLOWED_HOSTS?",
        f"MLP_IDLE_SECOND (in {path}) is unknown; did you mean MLP_IDLE_SECONDS?",
    ]


def test_a_name_like_no_other_is_still_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLP_XYZZY", "1")
    [warning] = [it for it in unknown_names([], tmp_path / "none") if "XYZZY" in it]
    assert warning == "MLP_XYZZY is unknown; docs/settings.md lists the settings"


@pytest.mark.parametrize(
    "name",
    [
        "MLP_API_KEY",
        "MLP_SERVICE_URL",
        "mlp_port",
        "MLP_SERVICE_HOST",
        "MLP_SERVICE_PORT_HTTP",
        "MLP_SERVICE_SERVICE_HOST",
        "MLP_SERVICE_PORT_8000_TCP_ADDR",
        "MLP_WEB_PORT",
    ],
)
def test_names_that_mean_something_elsewhere_are_not_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    reported = unknown_names(Settings.model_fields, tmp_path / "none")
    assert [warning for warning in reported if name in warning] == []


def test_uvicorns_variable_for_proxies_is_reported_as_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    monkeypatch.delenv("MLP_TRUSTED_PROXIES", raising=False)
    line = "FORWARDED_ALLOW_IPS is no longer read; set MLP_TRUSTED_PROXIES"
    assert line in unknown_names(Settings.model_fields, tmp_path / "none")
    monkeypatch.setenv("MLP_TRUSTED_PROXIES", "10.0.0.1")
    assert line not in unknown_names(Settings.model_fields, tmp_path / "none")


def test_every_variable_that_the_code_reads_is_known() -> None:
    files = [path for part in ("service", "mlp_client") for path in (ROOT / part).rglob("*.py")]
    read = {name for path in files for name in re.findall(r'"(MLP_[A-Z_]+)"', path.read_text())}
    known = {f"MLP_{name.upper()}" for name in Settings.model_fields} | set(NO_SETTINGS)
    assert {"MLP_API_KEY", "MLP_SERVICE_URL", "MLP_RESULTS_URL"} <= read
    assert read - {"MLP_"} <= known


def test_a_command_warns_before_it_works(tmp_path: Path) -> None:
    done = command(tmp_path, "keys", "list", MLP_DATA_DRI="elsewhere")
    assert "MLP_DATA_DRI is unknown; did you mean MLP_DATA_DIR?\n" in done.stderr


def test_health_does_not_warn_because_it_runs_every_few_seconds(tmp_path: Path) -> None:
    done = command(tmp_path, "health", "--url", "127.0.0.1:1", MLP_DATA_DRI="elsewhere")
    assert "MLP_DATA_DRI" not in done.stderr
