"""Half-built folders of processes that were killed are deleted, and no others."""

import subprocess
import sys
from pathlib import Path

from service.store.dataset_files import DatasetFiles
from service.store.staging_folders import building

BUILDER = """
import sys, time
from pathlib import Path
from service.store.dataset_files import DatasetFiles

files = DatasetFiles(Path(sys.argv[1]))
folder = files.stage("ds_1", 1)
(folder / "images.npy").write_bytes(b"half")
print("built", flush=True)
time.sleep(600)
"""


def test_a_folder_stays_as_long_as_its_process(tmp_path: Path) -> None:
    files = DatasetFiles(tmp_path)
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert builder.stdout
        assert builder.stdout.readline() == b"built\n"
        files.delete_abandoned()
        assert [path.name for path in files.staged("ds_1").values()] == ["ds_1-1"]
    finally:
        builder.kill()
        builder.communicate()
    files.delete_abandoned()
    assert not files.staged("ds_1")


def test_a_folder_stays_while_this_process_builds_in_it(tmp_path: Path) -> None:
    files, folder = DatasetFiles(tmp_path), tmp_path / ".staging" / "sha256-1"
    with building(folder):
        files.delete_abandoned()
        assert folder.exists()
    files.delete_abandoned()
    assert not folder.exists()


def test_without_any_folder_there_is_nothing_to_delete(tmp_path: Path) -> None:
    DatasetFiles(tmp_path).delete_abandoned()
