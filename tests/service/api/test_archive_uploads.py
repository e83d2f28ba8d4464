"""Archives of pictures become data sets over HTTP, or fail in words that name the file."""

import json
import time
from pathlib import Path
from typing import Any

from tests.support.dataset_requests import SETS, final, put
from tests.support.live_service import Live
from tests.support.packed_pictures import Entry, packed, picture, zip_bytes


def sent(live: Live, name: str, content: bytes, **options: Any) -> dict[str, Any]:
    """Send an archive; return the data set as soon as it is ready or has failed."""
    answer = put(live, name, content, options=json.dumps(options))
    assert answer.status_code == 201, answer.text
    return final(live, name)


def test_pictures_beside_a_table_become_a_data_set(service: Live, tmp_path: Path) -> None:
    files = {f"pictures/{n}.png": picture(n, 20 + n % 2, 20) for n in range(12)}
    lines = ["file,label,split"]
    lines += [f"{n}.png,{'ab'[n % 2]},{'train' if n < 8 else 'test'}" for n in range(13)]
    table = {"labels.csv": "\n".join(lines).encode()}
    path = packed(tmp_path / "data.tar.gz", files | table)
    found = sent(service, "beside", path.read_bytes())
    assert (found["state"], found["classes"], found["shape"]) == ("ready", ["a", "b"], [28, 28])
    assert found["class_counts"] == {"train": [4, 4], "test": [2, 2]}
    report = service.http.get(f"{SETS}/beside/report").json()
    assert report["found"]["label"] == "column label of labels.csv"
    codes = {warning["code"] for warning in report["warnings"]}
    assert {"rows_without_file", "resized"} <= codes


def test_a_hostile_archive_fails_with_the_name_of_its_file(service: Live) -> None:
    found = sent(service, "hostile", zip_bytes([Entry(b"../../up/a/1.png", picture())]))
    assert found["state"] == "failed"
    assert found["reason"]["code"] == "outside"
    assert found["reason"]["message"].startswith("../../up/a/1.png: Its name leads out")


def test_a_pattern_finds_the_classes_and_one_that_never_ends_is_refused(service: Live) -> None:
    files = {f"all/{'ab'[n % 2] * 40}_{n}.png": picture(n) for n in range(12)}
    content = zip_bytes([Entry(name.encode(), data) for name, data in files.items()])
    found = sent(service, "named", content, label={"pattern": "(.)_"})
    assert (found["state"], found["classes"]) == ("ready", ["a", "b"])
    begun = time.monotonic()
    found = sent(service, "endless", content, label={"pattern": "((?:a+)+)c"})
    assert found["reason"]["code"] == "option"
    assert "takes more than 5 seconds" in found["reason"]["message"]
    assert time.monotonic() - begun < 30
