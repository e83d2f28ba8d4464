"""Fixtures of most tests: a store of its own for each test, one unpacked MNIST for all."""

import os
import resource
import shutil
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlp_client.job_spec import Spec
from service import dispatchers
from service.api.job_records import job_record, new_job
from service.domain import cost
from service.domain.dataset_shape import architecture
from service.domain.job_recipe import recipe_of
from service.store.artifacts import Artifacts
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.datasets import DatasetStore
from service.store.jobs import JobStore, Submission
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.migrate import REVISIONS, migrate
from service.store.stored_dataset import MNIST
from tests.support import engines
from tests.support.campaign import SUITES, Campaign
from tests.support.cluster import Cluster, cluster_at
from tests.support.postgresql_server import PostgresServer, postgres_server
from tests.support.s3_server import S3Server, s3_server
from tests.support.server_process import Server

if TYPE_CHECKING:
    from tests.support.keyed_service import SharedService

# One epoch of this takes a tenth of a second.
QUICK = {"preset": "linear", "batch_size": 4096, "epochs": 1}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--campaign", action="store_true", help="run campaigns in full and keep their figures"
    )
    parser.addoption(
        "--engine",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="what services keep everything on: the embedded default, or PostgreSQL and a bucket",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what says nothing about another engine than the embedded default."""
    if config.getoption("--engine") != "sqlite":
        left_out = [item for item in items if not engines.concerns_servers(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if engines.concerns_servers(item)]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name tests of bytes by their argument.

    Packed bytes hold the time, and all processes that share the tests must have the same names.
    """
    return argname if isinstance(val, bytes) else None


COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


UNMEASURED = (*SUITES, "browser", "journeys")
"""Folders of tests whose processes do not measure coverage: tests of the parts measure what runs
there, and each process would take half a second longer to start."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let servers and workers of whole journeys run at full speed, without measuring coverage."""
    for name, value in COVERAGE.items():
        os.environ[name] = value
        if item.path.parent.name in UNMEASURED:
            del os.environ[name]


CAMPAIGNS = pytest.StashKey[dict[Path, Campaign]]()


def campaign_of(config: pytest.Config, path: Path) -> Campaign:
    """Return the one campaign of a test file."""
    campaigns = config.stash.setdefault(CAMPAIGNS, {})
    if path not in campaigns:
        name, full = path.stem.removeprefix("test_"), config.getoption("--campaign")
        campaigns[path] = Campaign(path.parent.name, name, full=full)
    return campaigns[path]


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """The campaign of a file in tests/chaos or tests/attack: its size and its figures."""
    return campaign_of(request.config, request.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record which tests of a campaign failed, and keep its figures after each of them.

    The fixture `campaign` can't do this: it is not created if a fixture before it fails.
    """
    report = yield
    if item.path.parent.name in SUITES:
        campaign = campaign_of(item.config, item.path)
        if report.failed or (report.when == "call" and report.passed):
            campaign.note(item.name, failed=report.failed)
        if report.when == "teardown":
            campaign.keep()
    return report


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """Reset the umask: a command run in this process changes it, and servers would inherit it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _unlimited_memory() -> Iterator[None]:
    """Fail if a test has limited the memory of this process, in which all later tests run."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    yield
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.fixture(scope="session")
def datasets_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with MNIST unpacked; no test writes there."""
    directory = tmp_path_factory.mktemp("datasets")
    DatasetFiles(directory).open(MNIST.sha256)
    return directory


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without jobs, to copy: a migration takes a tenth of a second."""
    path = tmp_path_factory.mktemp("database") / "jobs.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, which keeps nothing."""
    with postgres_server(fsync="off", full_page_writes="off") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> str:
    """The name of a migrated database, for one test at a time."""
    name = postgres.create()
    migrate(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server, which keeps nothing."""
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket's part that only this test uses; its key is in the environment."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3.url}/{uuid.uuid4().hex}"


@pytest.fixture(scope="session", autouse=True)
def _engine(request: pytest.FixtureRequest) -> None:
    """Use what `--engine` names."""
    if request.config.getoption("--engine") == "postgresql":
        postgres, s3 = (request.getfixturevalue(name) for name in ("postgres", "s3"))
        template = postgres.create()
        migrate(postgres.url(template))
        os.environ.update(s3.environment)
        engines.use(engines.Servers(postgres, template, s3))
        # Tests wait for leftovers to be deleted, which hosts of a shared database look for rarely.
        dispatchers.RARE_SECONDS = dispatchers.TIDY_SECONDS = 0.5


@pytest.fixture(autouse=True)
def _database_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give back the databases of data directories that only this test uses."""
    if request.config.getoption("--engine") == "sqlite":
        yield
    else:
        place = request.getfixturevalue("tmp_path")
        yield
        engines.current.release(place)


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """The address of a migrated PostgreSQL database without jobs."""
    yield postgres.url(postgres_database)
    postgres.empty(postgres_database)
    newest = f"UPDATE alembic_version SET version_num = '{REVISIONS[-1]}'"
    postgres.execute(newest, postgres_database)


@pytest.fixture
def cluster(
    tmp_path: Path, datasets_dir: Path, postgres_url: str, s3: S3Server, bucket_url: str
) -> Iterator[Cluster]:
    """An empty cluster: a test starts the servers and hosts that it needs."""
    environment = s3.environment | {"MLP_ARTIFACTS_URL": bucket_url}
    with cluster_at(tmp_path, datasets_dir, postgres_url, environment) as cluster:
        yield cluster


@pytest.fixture
def database_url(tmp_path: Path, empty_database: Path) -> str:
    """The URL of a migrated database without jobs."""
    copied_database(empty_database, tmp_path)
    return engines.database_url_of(tmp_path)


def copied_database(empty_database: Path, directory: Path) -> str:
    """Copy a database file into a directory; return the URL of the copy."""
    return f"sqlite:///{shutil.copy(empty_database, directory / 'jobs.sqlite3')}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return engines.artifacts_of(tmp_path)


@pytest.fixture
def checkpoints(artifacts: Artifacts) -> CheckpointStore:
    return CheckpointStore(artifacts)


@pytest.fixture
def dataset_files(datasets_dir: Path) -> DatasetFiles:
    """The files of MNIST; no test writes there."""
    return DatasetFiles(datasets_dir)


@pytest.fixture
def dataset_store(database: Database, dataset_files: DatasetFiles) -> DatasetStore:
    return DatasetStore(database, dataset_files)


@pytest.fixture
def server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A real server process with workers, on a port of its own."""
    server = Server(tmp_path / "data", datasets_dir)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def idle_server(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A real server process that trains no jobs."""
    server = Server(tmp_path / "data", datasets_dir, MLP_CONCURRENT_JOBS="0")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, datasets_dir: Path
) -> Iterator["SharedService"]:
    """A service with keys of two owners, a job of each, and one of nobody."""
    from tests.support.keyed_service import shared_service  # which imports this file

    data_dir = tmp_path_factory.mktemp("shared")
    shutil.copy(empty_database, data_dir)
    with shared_service(data_dir, datasets_dir) as service:
        yield service


def submit(jobs: JobStore, **fields: Any) -> str:
    """Submit a job to the store; return its id."""
    return submission(jobs, **fields).job


def submission(
    jobs: JobStore, key: str | None = None, body: bytes = b"", **fields: Any
) -> Submission:
    spec = Spec.model_validate(fields)
    batches = -(-MNIST.train_rows // spec.batch_size)
    priced = cost.cost_of(recipe_of(spec.model_dump()), MNIST.shape)
    network = architecture(MNIST.shape, spec.hidden)
    new = new_job(spec, priced, batches, network, MNIST.manifest)
    return jobs.submit(new, lambda job: job_record(job).model_dump_json(), key, body)
