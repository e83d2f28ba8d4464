"""On what the tests keep the database of a data directory, and the files of its jobs.

`pytest --engine postgresql` gives each data directory a database of its own on a real PostgreSQL,
and a part of a real bucket of its own. Without it, everything is in the data directory.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.store.artifacts import Artifacts, artifacts_at

if TYPE_CHECKING:
    from tests.support.postgresql_server import PostgresServer
    from tests.support.s3_server import S3Server

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""A test of the store that is about SQLite alone."""
local_files = pytest.mark.local_files
"""A test that is about the files of the embedded default."""


PLACES = {"tmp_path", "tmp_path_factory"}
"""The fixtures without which a test has no data directory."""


def concerns_servers(item: pytest.Item) -> bool:
    """Return whether a test may have another outcome on PostgreSQL and a bucket."""
    writes = PLACES & set(getattr(item, "fixturenames", ()))
    return bool(writes) and item.get_closest_marker("local_files") is None


class DataDirectories:
    """The embedded default: SQLite's file and the files of jobs are in the data directory."""

    def settings(self, _data_dir: Path) -> dict[str, str]:
        """Return the settings that a service needs beside its data directory."""
        return {}

    def database_url(self, data_dir: Path) -> str:
        return f"sqlite:///{data_dir / 'jobs.sqlite3'}"

    def artifacts_url(self, data_dir: Path) -> str:
        return str(data_dir / "jobs")

    def release(self, place: Path) -> None:
        """Forget what belongs to the data directories below `place`."""


@dataclass
class Servers(DataDirectories):
    """A PostgreSQL and a bucket, in which each data directory has a database and a part."""

    postgres: "PostgresServer"
    template: str
    """A migrated database, which is copied."""
    s3: "S3Server"
    _names: dict[Path, str] = field(default_factory=dict)
    _free: list[str] = field(default_factory=list)

    def settings(self, data_dir: Path) -> dict[str, str]:
        urls = self.database_url(data_dir), self.artifacts_url(data_dir)
        return dict(zip(("database_url", "artifacts_url"), urls, strict=True))

    def database_url(self, data_dir: Path) -> str:
        return self.postgres.url(self._name(data_dir))

    def artifacts_url(self, data_dir: Path) -> str:
        return (
            f"{self.s3.url}/{self._name(data_dir)}-{uuid.uuid5(uuid.NAMESPACE_URL, str(data_dir))}"
        )

    def release(self, place: Path) -> None:
        for data_dir in [each for each in self._names if each.is_relative_to(place)]:
            name = self._names.pop(data_dir)
            self.postgres.empty(name)
            self._free.append(name)

    def _name(self, data_dir: Path) -> str:
        """Return the name of a migrated database that is empty the first time."""
        if data_dir not in self._names:
            self._names[data_dir] = (
                self._free.pop() if self._free else self.postgres.create(self.template)
            )
        return self._names[data_dir]


current: DataDirectories = DataDirectories()
"""What this process of pytest uses."""


def use(chosen: DataDirectories) -> None:
    global current
    current = chosen


def settings_of(data_dir: Path) -> dict[str, str]:
    """Return where a service with this data directory keeps its database and files."""
    return current.settings(data_dir)


def environment_of(data_dir: Path) -> dict[str, str]:
    """Return `settings_of` as variables of the environment."""
    return {f"MLP_{name.upper()}": value for name, value in settings_of(data_dir).items()}


def database_url_of(data_dir: Path) -> str:
    return current.database_url(data_dir)


def artifacts_of(data_dir: Path) -> Artifacts:
    """Return the artifacts of the service with this data directory."""
    return artifacts_at(current.artifacts_url(data_dir))
