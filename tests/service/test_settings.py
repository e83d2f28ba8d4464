from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from service.settings import Settings
from service.store.sql.database import Database

# One value for each variable, other than its default, and what it means.
VARIABLES: dict[str, tuple[str, Any]] = {
    "MLP_HOST": ("0.0.0.0", "0.0.0.0"),
    "MLP_PORT": ("0", 0),
    "MLP_UDS": ("/run/mlp.sock", Path("/run/mlp.sock")),
    "MLP_INSECURE": ("1", True),
    "MLP_ALLOWED_HOSTS": ("a.example, b.example ,[::1]", ["a.example", "b.example", "[::1]"]),
    "MLP_ALLOWED_ORIGINS": ("https://a.example , null", ["https://a.example", "null"]),
    "MLP_TRUSTED_PROXIES": ("10.0.0.0/8,::1", ["10.0.0.0/8", "::1"]),
    "MLP_ROOT_PATH": ("/mlp", "/mlp"),
    "MLP_IDLE_SECONDS": ("75", 75),
    "MLP_DATA_DIR": ("/srv/jobs", Path("/srv/jobs")),
    "MLP_DATASETS_DIR": ("/srv/data", Path("/srv/data")),
    "MLP_DATABASE_URL": ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    "MLP_ARTIFACTS_URL": ("s3://bucket/mlp", "s3://bucket/mlp"),
    "MLP_CACHE_BYTES": ("0", 0),
    "MLP_DATASET_COPIES_BYTES": ("8", 8),
    "MLP_CONCURRENT_JOBS": ("0", 0),
    "MLP_FLEET": ("ray", "ray"),
    "MLP_FLEET_SLOTS": ("2", 2),
    "MLP_FLEET_HOSTS": ("3", 3),
    "MLP_FLEET_IDLE": ("0.5", 0.5),
    "MLP_HOST_COMMAND": ("/opt/mlp/bin/mlp-service work", "/opt/mlp/bin/mlp-service work"),
    "MLP_RAY_URL": ("https://ray.example/ray/", "https://ray.example/ray"),
    "MLP_RAY_TOKEN": ("a-token", SecretStr("a-token")),
    "MLP_RAY_TOKEN_FILE": ("/run/secrets/ray_token", Path("/run/secrets/ray_token")),
    "MLP_JOB_MEMORY": ("8589934592", 8 * 1024**3),
    "MLP_KEEP_JOBS": ("2", 2),
    "MLP_SNAPSHOTS": ("0", 0),
    "MLP_SNAPSHOT_BYTES": ("0", 0),
    "MLP_MAX_DATASET_BYTES": ("1", 1),
    "MLP_MAX_DATASETS_BYTES": ("2", 2),
    "MLP_MAX_OWNER_DATASETS": ("0", 0),
    "MLP_MAX_OWNER_DATASET_BYTES": ("4", 4),
    "MLP_MAX_LAYERS": ("3", 3),
    "MLP_MAX_WIDTH": ("4", 4),
    "MLP_MAX_PARAMETERS": ("5", 5),
    "MLP_MAX_EPOCHS": ("6", 6),
    "MLP_MAX_BATCH_SIZE": ("7", 7),
    "MLP_MAX_JOB_BYTES": ("8", 8),
    "MLP_MAX_JOB_FLOPS": ("9.5", 9.5),
    "MLP_MAX_EVALUATION_FLOPS": ("7.5", 7.5),
    "MLP_MAX_BODY_BYTES": ("2048", 2048),
    "MLP_MAX_CONNECTIONS": ("50", 50),
    "MLP_MAX_PREDICTIONS": ("3", 3),
    "MLP_PAGE_RELOAD": ("1", True),
    "MLP_LOG_LEVEL": ("debug", "debug"),
    "MLP_LOG_FORMAT": ("json", "json"),
}
WRONG = {
    "MLP_PORT": "65536",
    "MLP_INSECURE": "maybe",
    "MLP_HOST": "localhost:8000",
    "MLP_ALLOWED_HOSTS": "localhost:8000",
    "MLP_ALLOWED_ORIGINS": "app.example",
    "MLP_TRUSTED_PROXIES": "proxy",
    "MLP_ROOT_PATH": "mlp",
    "MLP_IDLE_SECONDS": "0",
    "MLP_CACHE_BYTES": "-1",
    "MLP_DATASET_COPIES_BYTES": "-1",
    "MLP_CONCURRENT_JOBS": "-1",
    "MLP_FLEET": "slurm",
    "MLP_FLEET_SLOTS": "0",
    "MLP_FLEET_HOSTS": "0",
    "MLP_FLEET_IDLE": "-1",
    "MLP_HOST_COMMAND": "",
    "MLP_RAY_URL": "ray.example:8265",
    "MLP_JOB_MEMORY": "134217727",
    "MLP_KEEP_JOBS": "0",
    "MLP_SNAPSHOTS": "-1",
    "MLP_SNAPSHOT_BYTES": "-1",
    "MLP_MAX_DATASET_BYTES": "0",
    "MLP_MAX_DATASETS_BYTES": "0",
    "MLP_MAX_OWNER_DATASETS": "-1",
    "MLP_MAX_OWNER_DATASET_BYTES": "0",
    "MLP_MAX_LAYERS": "0",
    "MLP_MAX_WIDTH": "0",
    "MLP_MAX_PARAMETERS": "0",
    "MLP_MAX_EPOCHS": "0",
    "MLP_MAX_BATCH_SIZE": "0",
    "MLP_MAX_JOB_BYTES": "0",
    "MLP_MAX_JOB_FLOPS": "0",
    "MLP_MAX_EVALUATION_FLOPS": "0",
    "MLP_MAX_BODY_BYTES": "1023",
    "MLP_MAX_CONNECTIONS": "9",
    "MLP_MAX_PREDICTIONS": "0",
    "MLP_PAGE_RELOAD": "maybe",
    "MLP_LOG_LEVEL": "loud",
    "MLP_LOG_FORMAT": "xml",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep variables and a `.env` file of the machine out of the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_its_variable() -> None:
    assert {f"MLP_{name.upper()}" for name in Settings.model_fields} == set(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_sets_its_setting_and_no_other(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, value = VARIABLES[variable]
    name, before = variable.removeprefix("MLP_").lower(), Settings().model_dump()
    monkeypatch.setenv(variable, text)
    after = Settings().model_dump()
    assert before[name] != value, "the test would show nothing"
    assert after == before | {name: value}


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_value_is_refused_by_name(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, WRONG[variable])
    with pytest.raises(ValidationError) as refused:
        Settings()
    name = variable.removeprefix("MLP_").lower()
    assert [error["loc"][-1] for error in refused.value.errors()] in ([name], [variable.lower()])


def test_the_defaults_are_the_documented_ones() -> None:
    """Changing one needs a line in CHANGELOG.md."""
    settings = Settings()
    assert (settings.host, settings.port, settings.insecure) == ("127.0.0.1", 8000, False)
    assert settings.allowed_hosts == ["localhost", "127.0.0.1", "[::1]"]
    assert (settings.allowed_origins, settings.trusted_proxies) == ([], ["127.0.0.1", "::1"])
    assert (settings.uds, settings.root_path, settings.idle_seconds) == (None, "", 7)
    assert (settings.max_layers, settings.max_width) == (16, 8192)
    assert settings.max_parameters == 20_000_000
    assert (settings.max_epochs, settings.max_batch_size) == (10_000, 8192)
    assert settings.concurrent_jobs is None
    assert (settings.snapshots, settings.snapshot_bytes) == (24, 16 * 1024**2)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_data_sets_and_database_are_in_the_data_directory_by_default(tmp_path: Path) -> None:
    settings = Settings(data_dir=Path("here"))
    assert settings.resolved_datasets_dir() == Path("here/datasets")
    assert settings.resolved_database_url() == f"sqlite:///{tmp_path}/here/jobs.sqlite3"
    elsewhere = Settings(datasets_dir=Path("/d"), database_url="sqlite:////x")
    assert elsewhere.resolved_datasets_dir() == Path("/d")
    assert elsewhere.resolved_database_url() == "sqlite:////x"


@pytest.mark.parametrize("name", ["a?b%c", "a#b", "50%20 + é", "file:x?mode=ro"])
def test_a_data_directory_may_have_any_name(name: str, tmp_path: Path) -> None:
    url = Settings(data_dir=Path(name)).resolved_database_url()
    assert Database(url).file == tmp_path / name / "jobs.sqlite3"


def test_a_file_sets_what_no_variable_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MLP_PORT=9000\nMLP_MAX_LAYERS=2\nOTHER=1\n")
    monkeypatch.setenv("MLP_PORT", "9001")
    settings = Settings()
    assert (settings.port, settings.max_layers) == (9001, 2)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]  # mypy knows too


def test_an_error_does_not_repeat_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set by mistake may contain a secret."""
    monkeypatch.setenv("MLP_PORT", "hunter2")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_RAY_TOKEN", "a-token")
    settings = Settings()
    assert "a-token" not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_a_password_in_an_address_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLP_RAY_URL", "http://ada:pass-word@ray.example:8265")
    with pytest.raises(ValidationError, match="set the token by itself") as refused:
        Settings()
    assert "pass-word" not in str(refused.value)
