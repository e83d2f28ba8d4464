"""Every setting of the service: environment variables `MLP_…`, or a `.env` file.

Only `cli`, `serve` and `app` read settings; everything else is given plain values.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """The settings, read once at the start; errors do not repeat values, which may be secret."""

    model_config = SettingsConfigDict(
        env_prefix="MLP_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free port.")
    insecure: bool = Field(
        False, description="Allow listening on a public address although there are no API keys."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="Host names accepted in the Host header, separated by commas; * accepts any.",
    )

    data_dir: Path = Field(
        Path("data"), description="Directory of the database, checkpoints and worker logs."
    )
    datasets_dir: Path | None = Field(
        None, description="Directory of the unpacked data sets; default: <data_dir>/datasets."
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL of the SQLite database; default: a file in the data directory.",
    )

    concurrent_jobs: int | None = Field(
        None,
        ge=0,
        description="Number of jobs trained concurrently; default: one per usable core; 0: none.",
    )

    keep_jobs: int | None = Field(
        None, ge=1, description="Finished jobs to keep; older ones are deleted; default: all."
    )

    max_layers: int = Field(16, ge=1, description="Maximum number of hidden layers of a network.")
    max_width: int = Field(8192, ge=1, description="Maximum number of units in a hidden layer.")
    max_parameters: int = Field(
        20_000_000, ge=1, description="Maximum number of weights and biases of a network."
    )
    max_epochs: int = Field(10_000, ge=1, description="Maximum number of epochs of a job.")
    max_batch_size: int = Field(8192, ge=1, description="Maximum batch size of a job.")
    max_job_bytes: int = Field(2 * 1024**3, ge=1, description="Maximum bytes of one job's arrays.")
    max_job_flops: float = Field(
        1e16, gt=0, description="Maximum number of floating-point operations of one job."
    )

    max_body_bytes: int = Field(
        256 * 1024,
        ge=1024,
        description="Maximum bytes of a request body; a prediction request may have 10 MiB.",
    )

    max_connections: int = Field(
        2000, ge=10, description="Maximum number of open client connections."
    )
    max_predictions: int = Field(
        32,
        ge=1,
        description="Maximum number of concurrent predictions; more are answered with 503.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Log format; auto is console on a terminal and json otherwise."
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    def resolved_datasets_dir(self) -> Path:
        """Return the directory of the unpacked data sets."""
        return self.datasets_dir or self.data_dir / "datasets"

    def resolved_database_url(self) -> str:
        """Return the URL of the database."""
        # SQLAlchemy could build the URL, but importing it takes a second.
        path = quote(str((self.data_dir / "jobs.sqlite3").absolute()))
        return self.database_url or f"sqlite:///{path}"
