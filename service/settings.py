"""Every setting of the service: environment variables `MLP_…`, or a `.env` file.

Only `cli`, `serve`, `host`, `preparation`, `app`, `dispatchers` and `storage` read settings;
everything else is given plain values.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service import address_settings
from service.env_file import ENCODING, ENV_FILE, PREFIX


class Settings(BaseSettings):
    """The settings, read once at the start; errors do not repeat values, which may be secret."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding=ENCODING,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free port.")
    uds: Path | None = Field(
        None, description="UNIX socket to listen on, instead of an address and a port."
    )
    insecure: bool = Field(
        False, description="Allow listening on a public address although there are no API keys."
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="Host names accepted in the Host header, separated by commas; *.example.com "
        "accepts all names under example.com, * accepts any.",
    )
    allowed_origins: Annotated[list[str], NoDecode] = Field(
        [],
        description="Origins whose web pages may use the service, such as https://app.example, "
        "separated by commas; null and * only together with API keys.",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1", "::1"],
        description="Addresses and networks of proxies whose X-Forwarded headers are believed, "
        "separated by commas; * believes any.",
    )
    root_path: str = Field(
        "", description="Path prefix under which a proxy publishes the service, such as /mlp."
    )
    idle_seconds: int = Field(
        7,
        ge=1,
        le=3600,
        description="How long an idle client connection stays open; more than a proxy in front "
        "keeps its own.",
    )

    data_dir: Path = Field(
        Path("data"), description="Directory of the database, checkpoints and worker logs."
    )
    datasets_dir: Path | None = Field(
        None, description="Directory of the unpacked data sets; default: <data_dir>/datasets."
    )
    database_url: str | None = Field(
        None,
        description="URL of a PostgreSQL database, postgresql://…, that several machines share, or "
        "of an SQLite file; default: a file in the data directory.",
    )
    artifacts_url: str | None = Field(
        None,
        description="Where checkpoints and networks are kept: a bucket, s3://bucket/prefix, "
        "gs://… or az://…, or the path of a directory that all machines share; default: the data "
        "directory.",
    )

    cache_bytes: int = Field(
        1024**3,
        ge=0,
        description="Maximum bytes of the copies of networks that a server keeps in its data "
        "directory if they come from a bucket; 0 keeps none.",
    )
    dataset_copies_bytes: int = Field(
        10 * 1024**3,
        ge=0,
        description="Maximum bytes of a machine's copies of uploaded data sets if they come from a "
        "bucket; the copy that was used least recently is deleted first.",
    )

    concurrent_jobs: int | None = Field(
        None,
        ge=0,
        description="Number of jobs trained concurrently; default: one per usable core; 0: none.",
    )
    job_memory: int | None = Field(
        None,
        ge=128 * 1024**2,
        description="Bytes of memory that the jobs of a machine may take together; a job waits "
        "until there is room for it; default: 80 % of what the machine or its container has.",
    )

    fleet: Literal["ray"] | None = Field(
        None, description="What starts hosts while jobs wait: ray; default: nothing."
    )
    fleet_slots: int = Field(
        4, ge=1, description="Number of jobs that each host of the fleet trains concurrently."
    )
    fleet_hosts: int = Field(16, ge=1, description="Maximum number of hosts of the fleet.")
    fleet_idle: float = Field(
        60, ge=0, description="Seconds without work after which a host of the fleet ends."
    )
    host_command: str = Field(
        "mlp-service work",
        min_length=1,
        description="What a node executes to become a host, such as /opt/mlp/bin/mlp-service work.",
    )
    ray_url: str = Field("http://127.0.0.1:8265", description="URL of the dashboard of Ray.")
    ray_token: SecretStr | None = Field(None, description="Token that Ray demands, if it does.")
    ray_token_file: Path | None = Field(None, description="File that contains this token.")

    keep_jobs: int | None = Field(
        None, ge=1, description="Finished jobs to keep; older ones are deleted; default: all."
    )

    snapshots: int = Field(
        24,
        ge=0,
        le=1000,
        description="Networks that a job keeps, of epochs that lie ever further apart, of the best "
        "one and of the last one; 0 keeps none.",
    )
    snapshot_bytes: int = Field(
        16 * 1024**2,
        ge=0,
        description="Maximum bytes of the networks that a job keeps; a large network keeps fewer.",
    )

    max_dataset_bytes: int = Field(
        256 * 1024**2, ge=1, description="Maximum bytes of the files that a data set is sent as."
    )
    max_datasets_bytes: int = Field(
        20 * 1024**3, ge=1, description="Maximum bytes of all uploaded data sets on disk."
    )
    max_owner_datasets: int = Field(
        20, ge=0, description="Maximum number of data sets of one owner; 0 allows no uploads."
    )
    max_owner_dataset_bytes: int = Field(
        4 * 1024**3, ge=1, description="Maximum bytes of one owner's data sets on disk."
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
    max_evaluation_flops: float = Field(
        2e12,
        gt=0,
        description="Maximum number of floating-point operations of an evaluation that is answered "
        "at once; larger ones are queued.",
    )

    max_body_bytes: int = Field(
        256 * 1024,
        ge=1024,
        description="Maximum bytes of a request body; a prediction request may have 28 MiB.",
    )

    max_connections: int = Field(
        2000, ge=10, description="Maximum number of open client connections."
    )
    max_predictions: int = Field(
        32,
        ge=1,
        description="Maximum number of concurrent predictions; more are answered with 503.",
    )

    page_reload: bool = Field(
        False,
        description="Read the page's files again for each request, for whoever changes them.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Log format; auto is console on a terminal and json otherwise."
    )

    @field_validator("allowed_hosts", "allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _entries(cls, value: object) -> object:
        return address_settings.entries(value) if isinstance(value, str) else value

    @field_validator("port", mode="before")
    @classmethod
    def _not_of_kubernetes(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError(
                "Kubernetes sets it to an address if a Service is named mlp; rename the Service, "
                "or set enableServiceLinks: false in the pod's spec"
            )
        return value

    @field_validator("uds", "fleet", "ray_token", "ray_token_file", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None

    _host = field_validator("host")(address_settings.listening_host)
    _hosts = field_validator("allowed_hosts")(address_settings.hosts)
    _origins = field_validator("allowed_origins")(address_settings.origins)
    _proxies = field_validator("trusted_proxies")(address_settings.proxies)
    _ray_url = field_validator("ray_url")(address_settings.http_url)
    _root_path = field_validator("root_path")(address_settings.root_path)

    def resolved_datasets_dir(self) -> Path:
        """Return the directory of the unpacked data sets."""
        return self.datasets_dir or self.data_dir / "datasets"

    def resolved_database_url(self) -> str:
        """Return the URL of the database."""
        # SQLAlchemy could build the URL, but importing it takes a second.
        path = quote(str((self.data_dir / "jobs.sqlite3").absolute()))
        return self.database_url or f"sqlite:///{path}"

    def resolved_artifacts_url(self) -> str:
        """Return where the files of jobs are kept: a path, or the URL of a bucket."""
        return self.artifacts_url or str(self.data_dir.absolute() / "jobs")
