"""The examples of docs/apps.md work as printed: in a browser, in Node.js, in Java and in Python.

Each example is written to a file and run as its reader would run it, against a real server.
"""

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.documents import blocks
from tests.support.external_programs import require_program
from tests.support.server_process import Server, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

GUIDE = "docs/apps.md"
STROKES = {
    1: [[(140, 40), (140, 240)]],
    7: [[(70, 60), (205, 60), (130, 235)]],
}
"""Digits as a mouse draws them on the canvas of 280x280 pixels: points in pixels, (x, y)."""


@pytest.fixture(scope="module")
def page_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path, page_port: int
) -> Iterator[Server]:
    """A server with a good network, which allows pages of `page_port` on 127.0.0.1."""
    directory = tmp_path_factory.mktemp("apps") / "data"
    origin = f"http://127.0.0.1:{page_port}"
    server = Server(directory, datasets_dir, MLP_ALLOWED_ORIGINS=origin)
    try:
        server.start()
        server.wait(server.submit(preset="mlp-relu", epochs=3), "succeeded")
        yield server
    finally:
        server.stop()


@pytest.fixture
def folder(trained: Server, tmp_path: Path) -> Path:
    """A folder with the picture of a seven from the test set."""
    picture = trained.http.get("/v1/datasets/mnist/test/0.png").content
    (tmp_path / "seven.png").write_bytes(picture)
    return tmp_path


def saved(language: str, file: Path, server: Server) -> Path:
    """Save the guide's only example in this language, with the address of the server."""
    [example] = blocks(GUIDE, language)
    file.write_text(example.replace("localhost:8000", f"127.0.0.1:{server.port}"))
    return file


def output_of(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_with_requests_and_httpx_read_a_seven(trained: Server, folder: Path) -> None:
    for number, example in enumerate(blocks(GUIDE, "python")):
        file = folder / f"example_{number}.py"
        file.write_text(example.replace("localhost:8000", f"127.0.0.1:{trained.port}"))
        assert output_of(sys.executable, file, folder=folder).endswith(" says 7\n")


def test_the_example_in_node_reads_a_seven(trained: Server, folder: Path) -> None:
    node = require_program("node", package="nodejs")
    example = saved("javascript", folder / "predict.mjs", trained)
    assert output_of(node, example, "seven.png", folder=folder) == "Node says 7\n"


def test_the_example_in_java_reads_a_seven(trained: Server, folder: Path) -> None:
    """Java's client asks for HTTP/2 with `Upgrade: h2c`, which the server ignores."""
    require_program("javac", package="default-jdk-headless")  # runs a source file
    java = require_program("java", package="default-jdk-headless")
    example = saved("java", folder / "Predict.java", trained)
    assert output_of(java, example, "seven.png", folder=folder) == "Java says 7\n"


# --- The page -------------------------------------------------------------------------------------


@contextmanager
def served_page(server: Server, folder: Path, port: int) -> Iterator[str]:
    """Serve the guide's page from an origin of its own; yield its address."""
    saved("html", folder / "draw.html", server)

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    files = functools.partial(Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), files) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/draw.html"
        finally:
            site.shutdown()
            thread.join()


@contextmanager
def opened(address: str) -> Iterator["Page"]:
    """Open a page in Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = require_program("chromium", "chromium-browser", "google-chrome", package="chromium")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to run as root otherwise
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=options)
        try:
            page = browser.new_page()
            page.goto(address)
            yield page
        finally:
            browser.close()


def draw(page: "Page", digit: int) -> str:
    """Draw a digit with the mouse, as a user does; return what the page answers."""
    page.click("button")
    box = page.locator("canvas").bounding_box()
    assert box
    for stroke in STROKES[digit]:
        points = [(box["x"] + x, box["y"] + y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()
    page.wait_for_function("document.querySelector('output').textContent")
    return page.locator("output").inner_text()


def test_a_page_of_an_allowed_origin_draws_and_predicts(
    trained: Server, folder: Path, page_port: int
) -> None:
    with served_page(trained, folder, page_port) as address, opened(address) as page:
        assert draw(page, 1).startswith("1 (")
        assert draw(page, 7).startswith("7 (")


def test_a_page_of_an_allowed_origin_can_read_errors_and_headers(
    trained: Server, folder: Path, page_port: int
) -> None:
    script = f"""async () => {{
        const answer = await fetch("{trained.url}/v1/jobs/job_x/cancel", {{method: "POST"}});
        const known = await fetch("{trained.url}/v1/models/latest/predict", {{
            method: "POST", headers: {{"Content-Type": "application/json"}},
            body: JSON.stringify({{inputs: [{{dataset: "mnist", index: 0}}]}}),
        }});
        return [(await answer.json()).code, known.status, known.headers.get("request-id") !== null];
    }}"""
    with served_page(trained, folder, page_port) as address, opened(address) as page:
        assert page.evaluate(script) == ["job-not-found", 200, True]


def test_a_page_of_an_allowed_origin_can_follow_a_job(
    trained: Server, folder: Path, page_port: int
) -> None:
    [job] = trained.http.get("/v1/jobs?limit=1").json()["data"]
    script = f"""() => new Promise((done, failed) => {{
        const stream = new EventSource("{trained.url}/v1/jobs/{job["id"]}/events");
        stream.addEventListener("epoch", ({{data}}) => done(JSON.parse(data).epoch));
        stream.onerror = () => failed(new Error("no events"));
    }})"""
    with served_page(trained, folder, page_port) as address, opened(address) as page:
        assert page.evaluate(script) == 1


def test_a_page_of_another_origin_is_told_the_setting(trained: Server, folder: Path) -> None:
    with served_page(trained, folder, port := free_port()) as address, opened(address) as page:
        answer = draw(page, 1)
    assert f"does not list http://127.0.0.1:{port} in MLP_ALLOWED_ORIGINS" in answer
