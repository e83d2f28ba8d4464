"""Files of other projects are in the repository unchanged, each with its licence."""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "service/web/vendor"
MNIST = ROOT / "service/store/mnist"
PACKAGES = json.loads((VENDOR / "vendor.json").read_text())


def folder(package: dict[str, Any]) -> Path:
    return VENDOR / str(package["folder"])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_vendored_file_has_the_digest_it_is_listed_with() -> None:
    for package in PACKAGES:
        for name, digest in package["files"].items():
            assert sha256((folder(package) / name).read_bytes()) == digest, name


def test_the_vendor_folder_has_only_listed_files() -> None:
    listed = {folder(package) / name for package in PACKAGES for name in package["files"]}
    lying = {path for path in VENDOR.rglob("*") if not path.is_dir()}
    assert lying == listed | {VENDOR / "vendor.json"}


def test_every_vendored_package_includes_its_licence() -> None:
    assert PACKAGES
    for package in PACKAGES:
        assert package["license"]
        assert "LICENSE" in package["files"]


def test_the_vendor_list_names_no_download_address() -> None:
    assert "://" not in (VENDOR / "vendor.json").read_text()


def test_the_vendor_folder_has_what_the_api_page_loads() -> None:
    [package] = [p for p in PACKAGES if p["package"] == "swagger-ui-dist"]
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"} <= set(package["files"])


def test_mnist_is_what_datasets_md_says() -> None:
    table = re.findall(
        r"^\| `(\S+)` \| ([\d ]+) \| `([0-9a-f]{64})` \|$",
        (ROOT / "DATASETS.md").read_text(),
        re.MULTILINE,
    )
    assert {f"{name}.gz" for name, _, _ in table} == {path.name for path in MNIST.glob("*.gz")}
    assert len(table) == 4
    for name, size, digest in table:
        content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
        assert len(content) == int(size.replace(" ", "")), name
        assert sha256(content) == digest, name
