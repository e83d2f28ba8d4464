"""Marks of tests of the store that are about one database engine."""

import pytest

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
