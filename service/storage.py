"""Where everything is kept: the database, and the folders of files beside it."""

from pathlib import Path

from service.domain.errors import StoreBroken
from service.settings import Settings
from service.store.artifacts import artifacts_at, shared_folders
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import KIND as DATASETS
from service.store.dataset_files import DatasetFiles
from service.store.files.digest_cache import DigestCache
from service.store.files.local import PROBE
from service.store.sql.database import Database
from service.store.sql.engine import engine_of
from service.store.uploads import KIND as UPLOADS
from service.store.uploads import Uploads

DATABASE_WAIT_SECONDS = 5
"""How long a request waits for the database's lock; then its client is asked to try again."""
BUCKET_WAIT_SECONDS = 5
"""How long a request, or a dispatcher's round, waits for a bucket that does not answer."""


def refuse_unshared(settings: Settings) -> None:
    """Refuse settings with which hosts would share the database or the files, but not both.

    Raises:
        StoreBroken: it says which setting is missing or wrong.

    """
    artifacts = settings.artifacts_url
    is_shared = not engine_of(settings.resolved_database_url()).file
    if is_shared and not artifacts:
        raise StoreBroken(
            "MLP_DATABASE_URL names a PostgreSQL server, which several machines share, so they "
            "must share the files, too: set MLP_ARTIFACTS_URL to a bucket, such as "
            "s3://bucket/prefix, or to the absolute path of a directory that all of them mount"
        )
    if is_shared and artifacts and "://" not in artifacts and not Path(artifacts).is_absolute():
        raise StoreBroken(
            f"MLP_ARTIFACTS_URL={artifacts} is a relative path, which every machine reads in "
            "another way: give the absolute path of a directory that all of them mount, or a bucket"
        )
    if artifacts and not is_shared:
        raise StoreBroken(
            "MLP_ARTIFACTS_URL is for services of several machines, and the SQLite database is for "
            "one: set MLP_DATABASE_URL to postgresql://… as well, or remove MLP_ARTIFACTS_URL"
        )
    if settings.fleet and not is_shared:
        raise StoreBroken(
            "MLP_FLEET starts hosts, which need a database that they share: set MLP_DATABASE_URL "
            "to postgresql://…, or unset MLP_FLEET to train on this machine alone"
        )


class Storage:
    """The database and the folders that the settings name.

    Attributes:
        database: the rows of all kinds of work.
        artifacts: the files of jobs.
        results: the files of large evaluations.
        logs: where each job has a folder with the log of its workers.
        evaluation_logs: where each large evaluation has one.
        uploads: the files that were sent to become data sets.
        damaged: which data sets are known to be damaged.
        dataset_files: the files of data sets.
        cache: copies of what servers read from a bucket; None without one.

    """

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.data_dir.absolute()
        self.database = Database(settings.resolved_database_url(), DATABASE_WAIT_SECONDS)
        shared = settings.artifacts_url
        self.artifacts = artifacts_at(settings.resolved_artifacts_url(), BUCKET_WAIT_SECONDS)
        self.results = artifacts_at(shared or str(data_dir / "evaluations"), BUCKET_WAIT_SECONDS)
        self.logs = data_dir / "logs" if shared else data_dir / "jobs"
        self.evaluation_logs = data_dir / "logs" if shared else data_dir / "evaluations"
        everywhere = shared_folders(shared, UPLOADS, BUCKET_WAIT_SECONDS)
        self.uploads = Uploads(data_dir / "uploads", everywhere)
        self.damaged = DamagedDatasets(self.database)
        datasets_dir = settings.resolved_datasets_dir().absolute()
        everywhere = shared_folders(shared, DATASETS, BUCKET_WAIT_SECONDS)
        self.dataset_files = DatasetFiles(
            datasets_dir, self.damaged.confirm, everywhere, settings.dataset_copies_bytes
        )
        most = settings.cache_bytes if shared else 0
        self.cache = DigestCache(data_dir / "cache", most) if most else None

    def close(self) -> None:
        """Close all connections to the database that are not in use."""
        self.database.close()

    def begin(self) -> None:
        """Do what `check` does with the file by which a shared directory is known to be mounted.

        Raises:
            StoreBroken: it is impossible, for example because the key is wrong.

        """
        self.check(PROBE)

    def check(self, key: str = f"{PROBE}-again") -> None:
        """Write, read, list and delete where the files of all hosts are kept.

        The small file that is written stays, for whoever may be killed here, or may do the same at
        the same time, deletes nothing; so another one is deleted, which is not there.

        Raises:
            StoreBroken: one of these is impossible, for example because the key is wrong.

        """
        data = b"room?"
        try:
            sha256 = self.artifacts.put(key, data)
            self.artifacts.get(key, len(data), sha256)
            list(self.artifacts.keys(key))
            self.artifacts.delete(f"{key}-absent")
        except (StoreBroken, FileNotFoundError) as exc:
            raise StoreBroken(
                f"MLP_ARTIFACTS_URL={self.artifacts.url} can't be used: {exc}. Check its name, and "
                "the address and key in the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY, or those of another vendor); the key must be allowed to "
                "write, read, list and delete"
            ) from exc
