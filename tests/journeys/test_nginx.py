"""The nginx recipes of docs/deployment.md, run as printed in a real nginx."""

import os
import re
import ssl
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from tests.support.documents import blocks
from tests.support.external_programs import require_program
from tests.support.live_service import messages
from tests.support.server_process import Server, eventually, free_port

DOCUMENT = "docs/deployment.md"
NAME = "digits.example.com"
CLIENT = "203.0.113.9"


@dataclass
class Proxied:
    """A server behind nginx."""

    server: Server
    http: httpx2.Client
    """Sends its requests to nginx, under the name of the recipe."""
    origin: str
    """The origin of pages that nginx delivers."""
    prefix: str


def certificate(directory: Path) -> tuple[Path, Path]:
    """Return a new certificate for 127.0.0.1, which signs itself, and its key."""
    openssl = require_program("openssl", package="openssl")
    cert, key = directory / "cert.pem", directory / "key.pem"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(cert), "-keyout", str(key)]
    make = [str(openssl), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*make, *names, *files], check=True, capture_output=True)
    return cert, key


def configuration(recipe: str, directory: Path) -> str:
    """Return a whole configuration around the recipe that writes nothing outside `directory`."""
    user = "user root;" if os.geteuid() == 0 else ""
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {directory}/{name};\n" for name in folders)
    return f"""
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
access_log off;
{temporary}
{recipe}
}}
"""


def with_own_ports_and_paths(
    recipe: str, server: Server, port: int, files: tuple[Path, Path]
) -> str:
    """Return the recipe with this test's ports and paths, and nothing else changed."""
    folder = f"/etc/letsencrypt/live/{NAME}"
    changes = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{server.port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        f"{folder}/fullchain.pem": str(files[0]),
        f"{folder}/privkey.pem": str(files[1]),
    }
    for before, after in changes.items():
        assert recipe.count(before) == 1, before
        recipe = recipe.replace(before, after)
    return recipe


def under_the_prefix(recipe: str, location: str) -> str:
    """Return the recipe with the location of the second recipe in place of its own."""
    [own] = re.findall(r"^    location / \{.*?^    \}\n", recipe, re.MULTILINE | re.DOTALL)
    return recipe.replace(own, textwrap.indent(textwrap.dedent(location), "    "))


@contextmanager
def running(server: Server, directory: Path, change: Callable[[str], str]) -> Iterator[Proxied]:
    """Run nginx with the first recipe of the guide, changed, in front of a server."""
    nginx = require_program("nginx", package="nginx-light")
    port, files = free_port(), certificate(directory)
    recipe = with_own_ports_and_paths(change(blocks(DOCUMENT, "nginx")[0]), server, port, files)
    path = directory / "nginx.conf"
    path.write_text(configuration(recipe, directory))
    with (directory / "nginx.log").open("wb") as log:
        process = subprocess.Popen([nginx, "-c", str(path)], stdout=log, stderr=log)
    prefix = server.environment.get("MLP_ROOT_PATH", "")
    origin = f"https://{NAME}:{port}"
    http = httpx2.Client(
        base_url=f"https://127.0.0.1:{port}{prefix}",
        headers={"Host": f"{NAME}:{port}", "X-Forwarded-For": CLIENT},
        verify=ssl.create_default_context(cafile=files[0]),
        timeout=30,
        trust_env=False,
    )
    try:
        with http:
            eventually(lambda: answers(http, process, directory), "nginx")
            yield Proxied(server, http, origin, prefix)
    finally:
        process.terminate()
        process.wait(10)


def answers(http: httpx2.Client, process: subprocess.Popen[bytes], directory: Path) -> bool:
    assert process.poll() is None, (directory / "nginx.log").read_text()
    try:
        return http.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


def started(directory: Path, datasets_dir: Path, **environment: str) -> Server:
    """Start a server with the settings that the guide names."""
    names = {"MLP_ALLOWED_HOSTS": f"{NAME},localhost", "MLP_IDLE_SECONDS": "75"}
    return Server(directory / "data", datasets_dir, **names, **environment).start()


def plain(recipe: str) -> str:
    return recipe


def prefixed(recipe: str) -> str:
    return under_the_prefix(recipe, blocks(DOCUMENT, "nginx")[1])


def prefix_removed(recipe: str) -> str:
    """Return the recipe with a slash after the address, so that nginx removes the prefix."""
    changed = prefixed(recipe)
    assert changed.count("proxy_pass http://mlp_service;") == 1
    return changed.replace("proxy_pass http://mlp_service;", "proxy_pass http://mlp_service/;")


@pytest.fixture(
    scope="module", params=[plain, prefixed, prefix_removed], ids=lambda it: it.__name__
)
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path
) -> Iterator[Proxied]:
    require_program("nginx", package="nginx-light")  # before anything slow is started
    directory = tmp_path_factory.mktemp("nginx")
    environment = {} if request.param is plain else {"MLP_ROOT_PATH": "/mlp"}
    server = started(directory, datasets_dir, **environment)
    try:
        server.wait(server.submit(preset="linear", epochs=1), "succeeded")
        with running(server, directory, request.param) as found:
            yield found
    finally:
        server.stop()


def test_a_picture_is_predicted(proxied: Proxied) -> None:
    seven = proxied.http.get("/v1/datasets/mnist/test/0.png").content
    answer = proxied.http.post(
        "/v1/models/latest/predict", content=seven, headers={"Content-Type": "image/png"}
    )
    assert answer.json()["predictions"][0]["label"] == 7


def test_links_and_location_lead_through_the_proxy(proxied: Proxied) -> None:
    made = proxied.http.post("/v1/jobs", json={"preset": "linear", "epochs": 1})
    assert made.status_code == 201
    links = made.json()["links"]
    assert made.headers["Location"] == links["self"]
    assert links["self"].startswith(f"{proxied.prefix}/v1/jobs/")
    for path in (links["self"], links["epochs"], proxied.http.get("/").json()["openapi"]):
        assert proxied.http.get(path.removeprefix(proxied.prefix)).status_code == 200
    problem = proxied.http.get("/v1/jobs/x").json()
    assert problem["type"] == f"{proxied.prefix}/problems/job-not-found"


def test_events_arrive_as_they_happen(proxied: Proxied) -> None:
    job = proxied.server.submit(preset="mlp-relu", epochs=500)
    times, started_at = [], time.monotonic()
    with proxied.http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        for message in messages(stream.iter_lines()):
            times.append(time.monotonic() - started_at)
            if message.event == "progress" and len(times) > 6:
                break
    state = proxied.server.job(job)["state"]
    proxied.server.act(job, "cancel")
    assert state == "running"  # nothing waited for the end
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) > 0.1  # they came one by one, not in one piece


def test_a_photo_of_12_mb_reaches_the_service(proxied: Proxied) -> None:
    """nginx would refuse it with a page in HTML; whatever the service says is JSON."""
    answer = proxied.http.post(
        "/v1/models/latest/predict",
        content=b"\x89PNG\r\n\x1a\n" + bytes(12 * 1000**2),
        headers={"Content-Type": "image/png"},
    )
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_pages_that_the_proxy_delivers_are_the_services_own(proxied: Proxied) -> None:
    def status(origin: str) -> int:
        headers = {"Origin": origin}
        return proxied.http.post("/v1/jobs/x/cancel", headers=headers).status_code

    assert status(proxied.origin) == 404  # there is no such job
    assert status(proxied.origin.rpartition(":")[0]) == 403
    assert status("https://evil.example") == 403


def test_another_name_is_refused(proxied: Proxied) -> None:
    answer = proxied.http.get("/v1/jobs", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "host-not-allowed")


def test_the_service_knows_the_client_and_its_scheme(proxied: Proxied) -> None:
    proxied.http.get("/v1/jobs?limit=7")
    eventually(
        lambda: re.search(
            rf"method=GET path=/v1/jobs status=200 \S+ client={CLIENT} ", proxied.server.log()
        ),
        "the line in the access log",
        5,
    )
    metrics = proxied.http.get("/metrics").text
    assert re.search(r'http_route="/v1/jobs",.*url_scheme="https"', metrics)
