"""The tables, for Alembic. A change here needs a new migration in `migrations/versions`."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LONG = BigInteger().with_variant(Integer, "sqlite")
"""64 bits, as SQLite's numbers always have."""
QUEUED = text("state = 'queued'")

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, comment="orders the queue and lists"),
    Column("id", String(64), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("reason", JSON(none_as_null=True), comment="{code, message}"),
    Column("attempt", Integer, nullable=False, comment="raised by each claim; the fencing token"),
    Column(
        "lost_workers", Integer, nullable=False, comment="in a row, since the cursor last moved"
    ),
    Column("spec", JSON, nullable=False),
    Column("spec_version", Integer, nullable=False),
    Column("cost", JSON, nullable=False),
    Column("batches_per_epoch", Integer, nullable=False),
    Column("epochs_done", Integer, nullable=False, comment="live progress, ahead of checkpoints"),
    Column("batches_done", Integer, nullable=False),
    Column("latest", JSON(none_as_null=True), comment="the last epoch, as in epochs"),
    Column("best", JSON(none_as_null=True), comment="the epoch of the highest test accuracy"),
    Column("weights_sha256", String(64)),
    Column("bit_exact", Boolean, nullable=False),
    Column("environment", JSON(none_as_null=True), comment="decides the bits: see work/worker.py"),
    Column("heartbeat", Integer, nullable=False, comment="counts the worker's heartbeats"),
    Column("handle", JSON(none_as_null=True), comment="of the worker: see work/process_handle.py"),
    Column("event_count", Integer, nullable=False, comment="number of the job's last event"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("owner", String(64), comment="of the key that submitted it; null without keys"),
    Column("finish_number", Integer, comment="orders the jobs that have ended"),
    Column("learned", Boolean, comment="set by success: whether the network beats the baseline"),
    Column("test_accuracy", Float, comment="of the last epoch of a job that has succeeded"),
    Column("title", Text, nullable=False, server_default="", comment="by which lists are sorted"),
    Column(
        "search", Text, nullable=False, server_default="", comment="labels: see store/job_list.py"
    ),
    Column("best_accuracy", Float, comment="of `best`"),
    Column("dataset_sha256", String(64), comment="of the content; null for MNIST in old rows"),
    Column("manifest", Text, comment="of the data set, as JSON; null for MNIST in old rows"),
    Column("host", String(64), comment="that has claimed it; null where there is only one"),
    Column("bytes", LONG, nullable=False, server_default="0", comment="memory that a worker takes"),
    Index("ix_jobs_dataset_sha256_state", "dataset_sha256", "state"),
    Index("ix_jobs_best_accuracy_number", "best_accuracy", "number"),
    Index("ix_jobs_state_number", "state", "number"),
    Index("ix_jobs_queued_bytes", "state", "bytes", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index("ix_jobs_owner_number", "owner", "number"),
    Index("ix_jobs_owner_state_number", "owner", "state", "number"),
    Index("ix_jobs_finish_number", "finish_number"),
    Index("ix_jobs_state_finish_number", "state", "finish_number"),
    Index("ix_jobs_owner_state_finish_number", "owner", "state", "finish_number"),
    Index("ix_jobs_learned_finish_number", "learned", "finish_number"),
    Index("ix_jobs_owner_learned_finish_number", "owner", "learned", "finish_number"),
    Index(
        "ix_jobs_owner_learned_test_accuracy", "owner", "learned", "test_accuracy", "finish_number"
    ),
    sqlite_autoincrement=True,
)


ONLY_IN_POSTGRESQL = (
    "ix_jobs_owner_state_best",
    "ix_jobs_owner_state_title",
    "ix_jobs_owner_state_worst",
    "ix_jobs_queue",
    "ix_jobs_state_best",
    "ix_jobs_state_title",
    "ix_jobs_state_worst",
)
"""The names of indexes that SQLite does not need: see migration 0020."""


def _of_job(**options: Any) -> Column[int]:
    return Column("job", Integer, ForeignKey("jobs.number", ondelete="CASCADE"), **options)


epochs = Table(
    "epochs",
    metadata,
    _of_job(primary_key=True),
    Column("number", Integer, primary_key=True, comment="from 1"),
    Column("train_loss", Float, nullable=False),
    Column("train_accuracy", Float, nullable=False),
    Column("test_loss", Float, nullable=False),
    Column("test_accuracy", Float, nullable=False),
    Column("seconds", Float, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", Integer, primary_key=True),
    _of_job(nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("epochs_done", Integer, nullable=False),
    Column("batches_done", Integer, nullable=False),
    Column("key", Text, nullable=False, comment="of the artifact"),
    Column("size", LONG, nullable=False),
    Column("sha256", String(64), nullable=False),
    sqlite_autoincrement=True,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("number", Integer, primary_key=True),
    _of_job(nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False, comment="after which the network was like this"),
    Column("planned", Boolean, nullable=False, comment="stays when a later epoch is better"),
    Column("key", Text, nullable=False, comment="of the artifact"),
    Column("size", LONG, nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("ix_snapshots_job_epoch", "job", "epoch", unique=True),
    sqlite_autoincrement=True,
)

deleted_jobs = Table(
    "deleted_jobs",
    metadata,
    Column("id", String(64), primary_key=True, comment="its artifacts may still be there"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("number", Integer, primary_key=True, comment="orders the queue and lists"),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(64), nullable=False, comment="of the key that sent it; '' without keys"),
    Column("name", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", JSON(none_as_null=True), comment="{code, message}"),
    Column("attempt", Integer, nullable=False, comment="raised by each claim; the fencing token"),
    Column("lost_workers", Integer, nullable=False, comment="checkers in a row"),
    Column("heartbeat", Integer, nullable=False, comment="counts the checker's heartbeats"),
    Column("handle", JSON(none_as_null=True), comment="of the checker: see work/process_handle.py"),
    Column("options", JSON, nullable=False, comment="as sent; complete once it is ready"),
    Column("files", JSON, nullable=False, comment="the names of the files as they were sent"),
    Column("sha256", String(64), index=True, comment="of the content"),
    Column("manifest", Text, comment="as JSON"),
    Column("report", JSON(none_as_null=True)),
    Column("upload_sha256", String(64), comment="of what was sent, with the options"),
    Column("upload_bytes", LONG, nullable=False),
    Column("disk_bytes", LONG, nullable=False),
    Column("progress", JSON(none_as_null=True), comment="of the check"),
    Column("description", Text, nullable=False),
    Column("license", Text, nullable=False),
    Column("attribution", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("samples", Integer, comment="that were added one by one; null for files"),
    Column("host", String(64), comment="as in jobs; also of the server that receives its files"),
    UniqueConstraint("owner", "name"),
    Index("ix_datasets_state_number", "state", "number"),
    sqlite_autoincrement=True,
)

dataset_leftovers = Table(
    "dataset_leftovers",
    metadata,
    Column("name", String(80), primary_key=True, comment="files to delete: see dataset_rows.py"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("number", Integer, primary_key=True, comment="orders them by age"),
    _of_job(nullable=False),
    Column("key", String(64), nullable=False, comment="of the question"),
    Column("answer", Text, nullable=False, comment="as JSON"),
    Index("ix_evaluations_job_key", "job", "key", unique=True),
    sqlite_autoincrement=True,
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", String(64), primary_key=True, comment="the identifier of its data directory"),
    Column("name", String(64), nullable=False, comment="of the machine, for people"),
    Column("slots", Integer, nullable=False, comment="how many jobs it trains at the same time"),
    Column("version", String(32), nullable=False, comment="of the package"),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, comment="by the database's clock"),
    Column("memory", LONG, nullable=False, server_default="0", comment="bytes of its largest job"),
)

service_identity = Table(
    "service_identity",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("instance", String(16), nullable=False, comment="see store/identity.py"),
    Column("session_secret", String(64), nullable=False),
)

unfinished_move = Table(
    "unfinished_move",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("source", Text, nullable=False, comment="what is moved here: see store/moving.py"),
)

temperatures = Table(
    "temperatures",
    metadata,
    _of_job(primary_key=True),
    Column("checkpoint_sha256", String(64), primary_key=True),
    Column("split", String(16), primary_key=True, comment="on which it was fitted"),
    Column("temperature", Float, nullable=False),
    Column("fitted_on", String(16), nullable=False, comment="validation, or even rows"),
    Column("fitted_rows", Integer, nullable=False),
)

evaluation_tasks = Table(
    "evaluation_tasks",
    metadata,
    Column("number", Integer, primary_key=True, comment="orders the queue and lists"),
    Column("id", String(64), nullable=False, unique=True),
    Column(
        "job",
        Integer,
        ForeignKey("jobs.number", ondelete="SET NULL"),
        comment="whose network is asked; null once the files of this row are to be deleted",
    ),
    Column("key", String(64), nullable=False, comment="of the question"),
    Column("state", String(16), nullable=False),
    Column("reason", JSON(none_as_null=True), comment="{code, message}"),
    Column("attempt", Integer, nullable=False, comment="raised by each claim; the fencing token"),
    Column("lost_workers", Integer, nullable=False, comment="in a row"),
    Column("heartbeat", Integer, nullable=False, comment="counts the worker's heartbeats"),
    Column("handle", JSON(none_as_null=True), comment="of the worker: see work/process_handle.py"),
    Column("options", JSON, nullable=False, comment="the question: see store/evaluation_rows.py"),
    Column("rows_done", Integer, nullable=False, comment="images that the network has read"),
    Column("artifact", Text, comment="key of the file with what the network said"),
    Column("size", LONG, comment="of that file"),
    Column("sha256", String(64), comment="of that file"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("host", String(64), comment="as in jobs"),
    Index("ix_evaluation_tasks_job_key", "job", "key", unique=True),
    Index("ix_evaluation_tasks_state_number", "state", "number"),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("seq", LONG, primary_key=True, comment="orders the events of all jobs"),
    _of_job(comment="null for the deletion of a job"),
    Column("number", Integer, comment="within the job, from 1; null if it is not part of that"),
    Column("type", String(16), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("data", JSON, nullable=False),
    UniqueConstraint("job", "number"),
    sqlite_autoincrement=True,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String(64), primary_key=True, comment="'' without keys"),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column(
        "job", String(64), nullable=False, comment="id of the submitted job, which may be deleted"
    ),
    Column("answer", Text, nullable=False, comment="the body of the first answer"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("job_number", Integer, index=True, comment="of that job; orders the keys"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("name", String(64), comment="for people; need not be unique"),
    Column("models_of", String(64), comment="the owner whose models the key uses, if another one"),
    Column("last_used_at", DateTime(timezone=True), comment="written once a minute at most"),
)
