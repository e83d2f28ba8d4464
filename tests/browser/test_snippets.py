"""Whatever the page offers to copy does what the page did."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.page_states import draw
from tests.support.server_process import Server, eventually

STATUS = "%{http_code}"


@pytest.fixture
def trained(server: Server) -> Server:
    job = server.http.post("/v1/jobs", json=SMALL).json()["id"]
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["finished_at"], "the job")
    return server


def shell(command: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=directory, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def copied(page: WatchedPage, button: str) -> str:
    page.js("navigator.clipboard.writeText('')")
    page.tab.get_by_role("button", name=button, exact=True).click()
    page.tab.wait_for_timeout(300)
    return str(page.js("navigator.clipboard.readText()"))


def test_every_line_of_the_drawer_is_answered_like_the_page_was(
    trained: Server, page: WatchedPage, tmp_path: Path
) -> None:
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    draw(page)
    page.until("document.querySelector('.room .verdict strong')", "the verdict")
    for name in ("Mistakes", "Data"):
        page.tab.get_by_role("tab", name=name).click()
        page.tab.wait_for_timeout(700)
    page.tab.keyboard.press("n")
    page.until("document.querySelector('.new-job .cost')", "the cost")
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("`")
    page.until("document.querySelector('.calls li')", "the drawer")
    lines = page.js("[...document.querySelectorAll('.calls code')].map((line) => line.textContent)")
    seen = {re.sub(r"job_[\w-]+|[?'].*", "", line.split("/v1/")[1]) for line in lines}
    assert {"jobs", "epochs", "models//predict", "jobs/preview"} <= seen
    for line in dict.fromkeys(lines):
        printed = shell(line.replace("curl -s", f"curl -s -o /dev/null -w '{STATUS}'"), tmp_path)
        assert printed.startswith("2"), f"{printed}: {line}"


def test_the_question_of_the_dark_room_can_be_copied(
    trained: Server, page: WatchedPage, tmp_path: Path
) -> None:
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    draw(page)
    page.until("document.querySelector('.room .verdict strong')", "the verdict")
    page.tab.wait_for_timeout(600)
    said = int(page.text(".room .verdict strong"))
    by_curl = json.loads(shell(copied(page, "Copy as curl"), tmp_path))
    program = copied(page, "Copy as Python")
    done = subprocess.run(
        [".venv/bin/python", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    by_python = json.loads(done.stdout)
    for answer in (by_curl, by_python):
        [prediction] = answer["predictions"]
        assert prediction["label"] == said


def test_the_last_call_is_copied_by_a_key(
    trained: Server, page: WatchedPage, tmp_path: Path
) -> None:
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(1000)
    page.tab.keyboard.press(".")
    page.until("document.querySelector('.notice')", "the notice")
    line = page.js("navigator.clipboard.readText()")
    assert line.startswith(f"curl -s '{page.url}/v1/")
    printed = shell(line.replace("curl -s", f"curl -s -o /dev/null -w '{STATUS}'"), tmp_path)
    assert printed == "200"
