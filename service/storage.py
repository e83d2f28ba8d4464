"""Where everything is kept: the database, and the folders of files beside it."""

from service.settings import Settings
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import DatasetFiles
from service.store.files.local import LocalArtifacts
from service.store.sql.database import Database
from service.store.uploads import Uploads

DATABASE_WAIT_SECONDS = 5
"""How long a request waits for the database's lock; then its client is asked to try again."""


class Storage:
    """The database and the folders that the settings name.

    Attributes:
        database: the rows of all kinds of work.
        artifacts: the files of jobs.
        results: the files of large evaluations.
        uploads: the files that were sent to become data sets.
        damaged: which data sets are known to be damaged.
        dataset_files: the files of data sets.

    """

    def __init__(self, settings: Settings) -> None:
        data_dir = settings.data_dir.absolute()
        self.database = Database(settings.resolved_database_url(), DATABASE_WAIT_SECONDS)
        self.artifacts = LocalArtifacts(data_dir / "jobs")
        self.results = LocalArtifacts(data_dir / "evaluations")
        self.uploads = Uploads(data_dir / "uploads")
        self.damaged = DamagedDatasets(self.database)
        datasets_dir = settings.resolved_datasets_dir().absolute()
        self.dataset_files = DatasetFiles(datasets_dir, self.damaged.confirm)
