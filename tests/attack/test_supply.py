"""The dependencies are pinned and listed, and the service needs no privileges to run."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.campaign import ROOT, Campaign
from tests.support.server_process import Server, eventually

LISTS = sorted((ROOT / "requirements").glob("*.txt"))
UID = 10001  # as in the Dockerfile

# --- Supply chain ---------------------------------------------------------------------------------


def pins(path: Path) -> list[str]:
    """Return the requirements of a list, each with its hashes on one line."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    return [line for line in re.sub(r"\\\n", "", text).splitlines() if line.strip()]


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_everything_that_is_installed_is_pinned_by_hash(campaign: Campaign) -> None:
    assert [path.name for path in LISTS] == [
        "build.txt",
        "cluster.txt",
        "dev.txt",
        "generators.txt",
        "ray.txt",
        "runtime.txt",
    ]
    found = [pin for path in LISTS for pin in pins(path)]
    hashed = [pin for pin in found if re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin)]
    measured = f"{len(hashed)} of {len(found)}"
    met = len(hashed) == len(found) > 0
    campaign.figure("requirements with a hash", target="all", measured=measured, met=met)
    assert hashed == found


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_nothing_is_fetched_without_a_hash(file: str) -> None:
    """A build in isolation would fetch its backend, and whatever that needs, by name alone."""
    text = re.sub(r"\\\n", " ", (ROOT / file).read_text())
    installs = re.findall(r"pip [^&\n]*?\b(?:install|wheel) [^&\n]*", text)
    assert len(installs) >= 4
    for install in installs:
        built = "--no-deps" in install and ("--no-build-isolation" in install or ".whl" in install)
        assert "--require-hashes" in install or built, install


def test_the_bill_of_materials_names_every_run_time_dependency(
    tmp_path: Path, campaign: Campaign
) -> None:
    command = [tool("cyclonedx-py"), "requirements", str(ROOT / "requirements" / "runtime.txt")]
    command += ["--output-format", "JSON", "--output-file", str(tmp_path / "sbom.json")]
    subprocess.run(command, check=True, capture_output=True)
    parts = json.loads((tmp_path / "sbom.json").read_text())
    listed = {(part["name"], part["version"]) for part in parts["components"]}
    pinned = {tuple(pin.split()[0].split("==")) for pin in pins(ROOT / "requirements/runtime.txt")}
    measured = f"{len(listed & pinned)} of {len(pinned)}"
    met = listed == pinned
    campaign.figure(
        "run-time parts in the CycloneDX list", target="all", measured=measured, met=met
    )
    assert parts["bomFormat"] == "CycloneDX"
    assert listed == pinned


def test_the_dependencies_have_no_known_vulnerabilities(campaign: Campaign) -> None:
    if not campaign.full:
        pytest.skip("asks PyPI, which tests must not need: run `make attack K=supply`")
    command = [tool("pip-audit"), "--require-hashes", "--disable-pip", "--format", "json"]
    for path in LISTS:
        command += ["-r", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    parts = json.loads(done.stdout)["dependencies"]
    known = {part["name"]: part["vulns"] for part in parts if part.get("vulns")}
    missed = [part["name"] for part in parts if "skip_reason" in part]
    if len(missed) == len(parts):
        pytest.skip("the configured package index has no data about vulnerabilities")
    measured = f"{len(known)} in {len(parts) - len(missed)} parts, {len(missed)} not looked up"
    target = "0, all looked up"
    campaign.figure("known flaws", target=target, measured=measured, met=not known and not missed)
    assert not known
    assert not missed


# --- Least privilege ------------------------------------------------------------------------------

# A mount namespace like the container's: everything is read-only except /dev/shm, the data folder
# and a small directory for temporary files. A Python in a home directory that other users can't
# enter is still mounted at its own path.
CONFINE = """
set -e
base=$1 closed=$2 python=$3; shift 3
if [ -n "$closed" ]; then
    mount --bind "$python" "$base/python"
    mount -t tmpfs -o mode=755 none "$closed"
    mkdir -p "$python"
    mount --bind "$base/python" "$python"
    mount -o remount,bind,ro "$python"
    mount -o remount,ro "$closed"
fi
mount --bind "$base/data" "$base/data"
mount -t tmpfs -o mode=1777,size=64m,nosuid,nodev none "$base/tmp"
mount -o remount,bind,ro /
exec setpriv --reuid UID --regid UID --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all "$@"
""".replace("UID", str(UID))


def closed_to_others(path: str) -> str:
    """Return the first folder on the way to `path` that others can't enter, or nothing."""
    way = [Path(path), *Path(path).parents]
    return next((str(folder) for folder in reversed(way) if not folder.stat().st_mode & 0o001), "")


@pytest.fixture
def confined() -> Iterator[Server]:
    """A server without privileges, on a read-only system with one data directory."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("needs root, unshare, setpriv and mount to take the privileges away")
    base = Path(tempfile.mkdtemp(prefix="confined-", dir="/var/tmp"))
    base.chmod(0o755)
    for name in ("data", "tmp", "python"):
        (base / name).mkdir()
    os.chown(base / "data", UID, UID)
    temporary = {"TMPDIR": f"{base}/tmp", "MPLCONFIGDIR": f"{base}/tmp/matplotlib"}
    server = Server(base / "data", base / "data" / "datasets", HOME="/nonexistent", **temporary)
    server.prefix = ["unshare", "--mount", "--propagation", "private", "bash", "-c", CONFINE]
    server.prefix += ["confine", str(base), closed_to_others(sys.base_prefix), sys.base_prefix]
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(base)


def privileges(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    names = ("Uid", "Gid", "Groups", "NoNewPrivs", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return {name: " ".join(status[name].split()) for name in names}


NONE = {"Uid": " ".join([str(UID)] * 4), "Gid": " ".join([str(UID)] * 4), "Groups": ""}
NONE |= {"NoNewPrivs": "1"} | dict.fromkeys(("CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)


def picture() -> bytes:
    """Return a PNG so large that a form with two of them is spooled to disk."""
    noise = np.random.default_rng(1).integers(0, 256, (900, 900), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def journey(server: Server) -> None:
    """Do what a user does: submit, train, predict, and get images."""
    job = server.submit(preset="linear", batch_size=4096, epochs=1)
    server.wait(job, "succeeded", seconds=90)
    get, post = server.http.get, server.http.post
    for path in (
        f"/v1/jobs/{job}/curves.png",
        f"/v1/jobs/{job}/curves.svg",
        f"/v1/models/{job}/layers/1/weights.png",
        f"/v1/models/{job}/layers/1/weights.svg",
        f"/v1/models/{job}/weights.npz",
        "/v1/datasets/mnist/samples.png",
    ):
        assert get(path).status_code == 200, path
    digit = get("/v1/datasets/mnist/test/0.png").content
    asked = post("/v1/models/latest/predict", content=digit, headers={"Content-Type": "image/png"})
    assert asked.json()["predictions"][0]["label"] in range(10)
    large = [("image", (f"{n}.png", picture())) for n in range(2)]
    assert post("/v1/models/latest/predict", files=large).status_code == 200


def test_the_server_needs_no_privilege_and_one_writable_directory(
    confined: Server, campaign: Campaign
) -> None:
    mounts = Path(f"/proc/{confined.pid}/mounts").read_text()
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)
    assert privileges(confined.pid) == NONE
    journey(confined)
    long = confined.submit(preset="mlp-relu", epochs=500)
    [worker] = eventually(confined.workers, "a worker")
    assert privileges(worker) == NONE
    confined.wait_for_progress(long, 0.0001)
    code, seconds = confined.terminate()
    assert not confined.workers()
    written = {path.stat().st_uid for path in (confined.data_dir / "jobs").rglob("*")}
    assert written == {UID}
    assert "Traceback" not in confined.log()
    campaign.figure(
        f"a journey as user {UID} without capabilities on a read-only system",
        target="all of it, and SIGTERM ends it in ≤ 8 s",
        measured=f"all of it, {seconds:.1f} s",
        met=code in (0, -signal.SIGTERM) and seconds <= 8,
    )
    assert code in (0, -signal.SIGTERM)
    assert seconds <= campaign.of(30, 8)
