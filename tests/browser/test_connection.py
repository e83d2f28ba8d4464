"""The page stays true to the server: it never gives up, and never asks without need."""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.browser.conftest import SMALL
from tests.support.browser import CONNECTION_LOST, WatchedPage
from tests.support.page_states import draw
from tests.support.server_process import Server, eventually

LONG = {"hidden": [32], "epochs": 300, "name": "long"}
OPEN_STREAM = "GET /v1/events"


def submit(server: Server, **spec: Any) -> str:
    return str(server.http.post("/v1/jobs", json=spec).raise_for_status().json()["id"])


def known_epochs(page: WatchedPage, job: str) -> list[int]:
    """The numbers of the epochs that the page knows of a job."""
    script = """async (job) => {
      const { epochs } = await import(`${document.documentElement.dataset.web}/epochs.js`);
      return epochs.get(job)?.epoch ?? [];
    }"""
    return [int(number) for number in page.js(script, job)]


def history_requests(page: WatchedPage) -> int:
    return sum(request.startswith("GET /v1/epochs") for request in page.requests)


def test_a_killed_server_comes_back_without_a_reload_and_without_a_gap(
    page: WatchedPage, server: Server
) -> None:
    page.expect(CONNECTION_LOST)
    job = submit(server, **LONG)
    page.open()
    page.js("window.notReloaded = true")
    eventually(lambda: len(known_epochs(page, job)) > 3, "some epochs")
    draw(page)
    page.until("location.hash.includes('ink=')", "the drawing in the address")
    ink = page.js("location.hash")
    asked = history_requests(page)
    server.kill()
    page.until("document.querySelector('.connection.reconnecting')", "an amber pill")
    page.until("document.querySelector('.connection.stopped')", "a red pill")
    assert "Jobs are safe" in page.text(".notices")
    server.start()
    page.until("document.querySelector('.connection.live')", "the page to be live again")
    assert page.js("window.notReloaded")
    assert page.js("document.querySelectorAll('.notice').length") == 0
    assert page.js("location.hash") == ink
    before = known_epochs(page, job)[-1]
    eventually(lambda: known_epochs(page, job)[-1] > before, "a later epoch")
    known = known_epochs(page, job)
    assert known == list(range(1, known[-1] + 1))
    assert history_requests(page) <= asked + 1


def test_a_list_that_could_not_be_read_is_read_with_the_next_stream(
    page: WatchedPage, server: Server
) -> None:
    page.expect("status of 500")
    page.expect(CONNECTION_LOST)
    job = submit(server, **SMALL)
    page.tab.route("**/v1/jobs?limit=100", lambda route: route.fulfill(status=500), times=1)
    page.open()
    page.until("document.querySelector('.notice.bad')", "a word about the failure")
    assert page.js("document.querySelectorAll('li.job').length") == 0
    server.kill()
    page.until("!document.querySelector('.connection.live')", "the loss to be noticed")
    server.start()
    page.until(f"document.querySelector('li[data-id={job}]')", "the job in the list")


ANSWERED = """(end) => performance.getEntriesByType('resource')
  .some(({ name, responseStatus }) => name.endsWith(end) && responseStatus === 200)"""
"""Whether a file whose address ends in this way has been loaded."""


def test_parts_of_the_page_that_could_not_be_loaded_are_asked_for_again(
    page: WatchedPage, server: Server
) -> None:
    """A server may stop at any moment, also while the page loads what it shows first."""
    page.expect(r"net::ERR_FAILED")
    job = submit(server, **SMALL)
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["finished_at"], "the job")
    refused = [
        "jobs/row.js",
        "curves/curves.js",
        "weights/film.js",
        "uPlot.iife.min.js",
        "uPlot.min.css",
    ]
    for file in refused:
        page.tab.route(f"**/{file}", lambda route: route.abort(), times=1)
    page.open()
    page.until("document.querySelector('.job .open')", "the row")
    page.until("document.querySelector('.plot canvas')", "the curves")
    page.until("document.querySelector('.epochs input')?.max > 1", "the slider")

    def answered(file: str) -> bool:
        return bool(page.js(ANSWERED, f"/{file}"))

    for file in refused:
        eventually(partial(answered, file), file)
    assert page.tab.locator(".notice").count() == 0


def test_a_server_that_hangs_is_noticed_by_its_silence(page: WatchedPage, server: Server) -> None:
    page.expect(CONNECTION_LOST)
    page.open()
    os.kill(server.pid, signal.SIGSTOP)
    try:
        page.until("!document.querySelector('.connection.live')", "the silence to be noticed", 60)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    page.until("document.querySelector('.connection.live')", "the page to be live again")


def test_a_stream_that_is_refused_ten_times_is_asked_for_again(page: WatchedPage) -> None:
    refusals = 0

    def refuse(route: Any) -> None:
        nonlocal refusals
        refusals += 1
        if refusals <= 10:
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
        else:
            route.continue_()

    page.expect("503")
    page.tab.clock.install()
    page.tab.route("**/v1/events*", refuse)
    page.tab.goto(page.url)
    for _ in range(100):
        page.tab.clock.run_for(2000)
        if page.js("document.querySelector('.connection')?.classList.contains('live')"):
            break
    assert page.js("document.querySelector('.connection').classList.contains('live')")
    assert refusals > 10


def test_eight_tabs_share_one_stream_and_all_hear(
    server: Server, new_page: Callable[[Server], WatchedPage]
) -> None:
    pages = [new_page(server) for _ in range(8)]
    for page in pages:
        page.open()
        page.tab.bring_to_front()
    holders = [page for page in pages if page.has_stream()]
    assert holders == [pages[-1]]
    submit(server, **SMALL)
    for page in pages:
        page.until("document.querySelector('.jobs').innerText.includes('small')", "the new job")
    pages[-1].tab.close()
    others = pages[:-1]

    def holder() -> WatchedPage | None:
        others[0].tab.wait_for_timeout(20)  # lets Playwright hear of requests
        return next((page for page in others if page.has_stream()), None)

    eventually(holder, "another tab to hold the stream")
    submit(server, **{**SMALL, "name": "later"})
    for page in others:
        page.until("document.querySelector('.jobs').innerText.includes('later')", "the next job")


LOADED = """
  performance.getEntriesByType('resource')
    .filter(({ name, transferSize }) => transferSize && !name.includes('/v1/'))
    .map(({ transferSize }) => transferSize)
"""


def test_the_first_load_of_an_empty_page_is_small(page: WatchedPage) -> None:
    page.open()
    page.until("document.querySelector('.empty img')?.naturalWidth > 500", "twelve digits")
    sizes = page.js(LOADED)
    assert 20 < len(sizes) <= 31, "with the document there are 32; what is not shown comes later"
    assert sum(sizes) <= 90_000


def test_the_second_load_transfers_what_has_changed(page: WatchedPage, server: Server) -> None:
    job = submit(server, **SMALL)
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", "the job")
    page.open()
    page.until("document.querySelector('.plot canvas')", "the curves")
    page.open()
    page.until("document.querySelector('.plot canvas')", "the curves again")
    assert page.js(LOADED) == []


@pytest.mark.timeout(150)
def test_an_idle_page_asks_nothing_for_a_minute(page: WatchedPage, server: Server) -> None:
    job = submit(server, **SMALL)
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", "the job")
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(3000)
    before = list(page.requests)
    page.tab.wait_for_timeout(60_000)
    assert page.requests == before


FLOOD = """
async ({ job, epochs, progress }) => {
  const channel = new BroadcastChannel('mlp-stream');
  const say = (kind, data) => channel.postMessage({ kind, data });
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const loss = 1 / epoch;
    say('epoch', { job, epoch, train_loss: loss, test_loss: loss, train_accuracy: 1 - loss / 2,
                   test_accuracy: 1 - loss / 2, seconds: 1 });
    for (let part = 0; part < progress; part++)
      say('progress', { [job]: { epochs_done: epoch, epochs, batches_done: part,
        batches_per_epoch: progress, fraction: epoch / epochs, eta_seconds: epochs - epoch } });
    if (epoch % 50 === 0) await new Promise((done) => setTimeout(done, 15));
  }
}
"""


def memory(page: WatchedPage) -> dict[str, float]:
    """Heap in MB, DOM nodes and listeners, after the garbage is collected."""
    session = page.tab.context.new_cdp_session(page.tab)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = session.send("Performance.getMetrics")["metrics"]
    values = {each["name"]: float(each["value"]) for each in found}
    session.detach()
    return {
        "megabytes": values["JSHeapUsedSize"] / 1e6,
        "nodes": values["Nodes"],
        "listeners": values["JSEventListeners"],
    }


@pytest.mark.timeout(200)
def test_an_hour_of_events_leaves_no_more_than_its_curve(page: WatchedPage, server: Server) -> None:
    job = submit(server, **{**SMALL, "epochs": 4000, "hidden": [512]})
    server.http.post(f"/v1/jobs/{job}/pause").raise_for_status()
    page.open()
    page.js(FLOOD, {"job": job, "epochs": 100, "progress": 4})
    page.tab.wait_for_timeout(1500)
    before = memory(page)
    page.js(FLOOD.replace("epoch = 1", "epoch = 101"), {"job": job, "epochs": 3100, "progress": 4})
    page.until(f"document.body.innerText.includes('{3100:d}')", "the last epoch")
    page.tab.wait_for_timeout(1500)
    after = memory(page)
    assert after["megabytes"] <= before["megabytes"] + 3
    assert after["nodes"] <= before["nodes"] + 20
    assert after["listeners"] <= before["listeners"]
