"""Where everything is kept: the database, and the folders of files beside it."""

from service.settings import Settings
from service.store.artifacts import artifacts_at, shared_folders
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import KIND as DATASETS
from service.store.dataset_files import DatasetFiles
from service.store.sql.database import Database
from service.store.uploads import KIND as UPLOADS
from service.store.uploads import Uploads

DATABASE_WAIT_SECONDS = 5
"""How long a request waits for the database's lock; then its client is asked to try again."""
BUCKET_WAIT_SECONDS = 5
"""How long a request, or a dispatcher's round, waits for a bucket that does not answer."""


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

    """

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.data_dir.absolute()
        self.database = Database(settings.resolved_database_url(), DATABASE_WAIT_SECONDS)
        shared = settings.artifacts_url
        self.artifacts = artifacts_at(settings.resolved_artifacts_url(), BUCKET_WAIT_SECONDS)
        self.results = artifacts_at(shared or str(data_dir / "evaluations"), BUCKET_WAIT_SECONDS)
        self.logs = data_dir / "logs" if shared else data_dir / "jobs"
        self.evaluation_logs = data_dir / "logs" if shared else data_dir / "evaluations"
        self.uploads = Uploads(data_dir / "uploads", shared_folders(shared, UPLOADS))
        self.damaged = DamagedDatasets(self.database)
        datasets_dir = settings.resolved_datasets_dir().absolute()
        everywhere = shared_folders(shared, DATASETS, BUCKET_WAIT_SECONDS)
        self.dataset_files = DatasetFiles(datasets_dir, self.damaged.confirm, everywhere)
