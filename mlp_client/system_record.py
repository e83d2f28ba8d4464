"""The record that says what a server is, what it is doing, and what the client may do there."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from mlp_client.job_state import State
from mlp_client.records import Record, SparseRecord


class Slots(SparseRecord):
    """How many jobs the server, or all its hosts together, train at the same time."""

    total: int = Field(description="Number of jobs that can train concurrently.")
    busy: int = Field(description="Number of jobs that have a worker, those of all owners.")
    hosts: int | None = Field(
        None,
        description="Number of hosts that train jobs; absent if the server trains them itself.",
    )


class Host(Record):
    """A process that trains jobs of a service on one of several machines."""

    id: str = Field(description="Identifier of its data directory, which a restart keeps.")
    name: str = Field(description="Name of its machine; several hosts may have the same.")
    slots: int = Field(description="Number of jobs that it trains concurrently.")
    busy: int = Field(description="Number of jobs that have a worker there, those of all owners.")
    memory: int = Field(description="Bytes of the largest job that it takes.")
    version: str = Field(description="Version of the service that it runs.")
    started_at: datetime = Field(description="Time at which it was started, in UTC.")
    seen_at: datetime = Field(
        description="Time at which it last said that it is alive, in UTC; it does so every ten "
        "seconds, and is left out after thirty."
    )


class SpecLimits(Record):
    """The largest values that a spec may have on this server."""

    layers: int = Field(description="Maximum number of hidden layers.")
    width: int = Field(description="Maximum number of units in a hidden layer.")
    parameters: int = Field(description="Maximum number of weights and biases.")
    epochs: int = Field(description="Maximum number of epochs.")
    batch_size: int = Field(description="Maximum batch size.")


class Keys(Record):
    """Whether the server requires API keys."""

    required: bool = Field(description="True as soon as a key was ever created.")


class Session(Record):
    """What the client may do, as its API key says."""

    owner: str | None = Field(description="Owner of the API key; null if there are no keys.")
    scopes: list[str] = Field(
        description="What the key allows: `read`, `predict`, `train` or `admin`. Without keys "
        "everybody has `admin`."
    )
    expires_at: datetime | None = Field(
        description="Time at which the key expires, in UTC; null if it never does."
    )


class System(SparseRecord):
    """A server; a client without an API key is told the version and that it needs a key."""

    object: Literal["system"] = Field("system", description="The type of this record.")
    version: str = Field(description="Version of the service.")
    keys: Keys = Field(description="Whether requests need an API key.")
    instance: str | None = Field(
        None,
        description="Identifier of the service, which all its servers share. With another one, the "
        "jobs are others, and so are the numbers of events.",
    )
    web: str | None = Field(
        None, description="Digest of the page's files; with another one, the page is outdated."
    )
    ready: bool | None = Field(None, description="Whether all checks have passed.")
    checks: dict[str, bool] | None = Field(
        None, description="Whether each check of `/readyz` has passed, by name."
    )
    slots: Slots | None = Field(None, description="How many jobs can train, and do.")
    hosts: list[Host] | None = Field(
        None,
        description="The hosts by name; absent if the server trains all jobs itself, if the key "
        "can't read jobs, and in streams of events.",
    )
    jobs: dict[State, int] | None = Field(
        None, description="Number of jobs in each state, of those that the key can read."
    )
    limits: SpecLimits | None = Field(None, description="The largest values in a spec.")
    session: Session | None = Field(None, description="What the client may do.")
