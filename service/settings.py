"""Every knob of the service: environment variables `MLP_…` (or a `.env` file), read once.

Only the doors (`cli`, `app`) know this file; services get plain values.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="MLP_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    insecure: bool = Field(False, description="allow an address that others can reach")
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="names a Host header may carry, separated by commas; `*` allows all",
    )

    data_dir: Path = Field(Path("data"), description="where jobs, checkpoints and logs are kept")
    datasets_dir: Path | None = Field(
        None, description="unpacked data sets; default `<data_dir>/datasets`"
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of an SQLite file; default one in `data_dir`"
    )

    concurrent_jobs: int | None = Field(
        None, ge=0, description="jobs trained at once; default one per usable core; 0 only serves"
    )

    keep_jobs: int | None = Field(
        None, ge=1, description="finished jobs kept; older ones are deleted; default all"
    )

    max_layers: int = Field(16, ge=1, description="hidden layers of a spec")
    max_width: int = Field(8192, ge=1, description="units of a hidden layer")
    max_parameters: int = Field(20_000_000, ge=1, description="weights and biases of a network")
    max_epochs: int = Field(10_000, ge=1, description="epochs of a spec")
    max_batch_size: int = Field(8192, ge=1, description="batch size of a spec")
    max_job_bytes: int = Field(2 * 1024**3, ge=1, description="memory of one job's arrays")
    max_job_flops: float = Field(1e16, gt=0, description="floating-point operations of one job")

    max_body_bytes: int = Field(
        256 * 1024, ge=1024, description="of a request body; a prediction request may have 10 MiB"
    )

    max_connections: int = Field(2000, ge=10, description="clients connected at once")
    max_predictions: int = Field(
        32, ge=1, description="predictions under way at once; more are answered 503"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="`auto` is `console` on a terminal, else `json`"
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    def resolved_datasets_dir(self) -> Path:
        return self.datasets_dir or self.data_dir / "datasets"

    def resolved_database_url(self) -> str:
        # SQLAlchemy would write the URL too, but it takes a second to import.
        path = quote(str((self.data_dir / "jobs.sqlite3").absolute()))
        return self.database_url or f"sqlite:///{path}"
