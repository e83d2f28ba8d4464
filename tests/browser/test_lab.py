"""The middle of the page: the empty state, what is said of each job, and what is done with it."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

from service.store.attempts import FAILED
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.job_records import BAD, epoch, started
from tests.support.server_process import Server, eventually

LONG: dict[str, Any] = {"hidden": [16], "epochs": 2000, "name": "long"}
SHARE_OF_INK = """(selector) => {
  const canvas = document.querySelector(selector);
  if (!canvas?.width) return 0;
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  return pixels.filter((pixel) => pixel !== pixels[0]).length / pixels.length;
}"""
NOTE_NEWS = """() => {
  window.news = [];
  const region = document.querySelector('.unseen[role=status]');
  new MutationObserver(() => window.news.push(region.textContent))
    .observe(region, { childList: true, characterData: true, subtree: true });
}"""


def submitted(server: Server, **spec: Any) -> str:
    return str(server.http.post("/v1/jobs", json={**SMALL, **spec}).json()["id"])


def job(server: Server, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get(f"/v1/jobs/{id_}").json()
    return found


def jobs(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.http.get("/v1/jobs").json()["data"]
    return found


def database_of(server: Server) -> Database:
    return Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")


def succeeded(server: Server, id_: str) -> None:
    eventually(lambda: job(server, id_)["state"] == "succeeded", "the job to succeed", 60)


def row(name: str) -> str:
    return f".job:has(.open:text-is('{name}'))"


# --- Nothing yet ----------------------------------------------------------------------------------


def test_one_click_on_an_empty_page_trains_a_network_and_shows_it(
    page: WatchedPage, server: Server
) -> None:
    keys = []
    page.tab.on("request", lambda sent: keys.append(sent.headers.get("idempotency-key")))
    page.open()
    page.js(NOTE_NEWS)

    page.until("document.querySelector('.empty img')?.naturalWidth > 500", "twelve digits")
    button = page.tab.get_by_role("button", name=re.compile(r"Train your first network, about \d+"))
    button.click()
    page.until("document.querySelector('.job.running .open')", "the row")
    page.until(f"({SHARE_OF_INK})('.plot canvas') > 0.05", "a chart that is not blank", 60)
    page.until(f"({SHARE_OF_INK})('.panel canvas') > 0.05", "tiles that are not blank", 60)

    [created] = jobs(server)
    page.until("document.querySelector('.job.succeeded')", "the end", 90)
    assert page.requests.count("POST /v1/jobs") == 1
    assert len([key for key in keys if key]) == 1
    assert page.js("location.href") == server.url + "/"
    assert page.text(".head h2") == created["spec"]["name"] == "my first network"
    best = job(server, created["id"])["metrics"]["best"]["test_accuracy"]
    said = [news for news in page.js("window.news") if "succeeded" in news]
    assert said == [
        f"my first network succeeded, test accuracy {100 * best:.2f}\N{NO-BREAK SPACE}%"
    ]


def test_a_double_click_on_the_first_button_makes_one_job(
    page: WatchedPage, server: Server
) -> None:
    page.open()
    page.tab.get_by_role("button", name="Train your first network").dblclick()
    page.until("document.querySelector('.job .open')", "the row")
    page.tab.wait_for_timeout(500)
    assert len(jobs(server)) == 1


# --- Doing ----------------------------------------------------------------------------------------


def test_pause_and_resume_are_said_and_done(page: WatchedPage, server: Server) -> None:
    id_ = submitted(server, **LONG)
    page.open()
    page.until(
        "/^[3-9]/.test(document.querySelector('.facts div:nth-child(3) dd')?.innerText)", "3"
    )
    page.tab.get_by_role("button", name="Pause", exact=True).click()
    page.until("document.querySelector('.standing.paused')", "the pause")
    done = job(server, id_)["progress"]["epochs_done"]
    assert page.text(".standing") == f"Paused after epoch {done}; nothing is lost."
    page.tab.get_by_role("button", name="Resume", exact=True).click()
    page.until("document.querySelector('.standing.running')", "the training to go on")
    page.tab.keyboard.press("c")
    page.until("document.querySelector('.job.cancelled')", "the cancelling by key")
    assert "cancelled after epoch" in page.text(".job .now")


def test_cancelling_much_work_asks_once_and_names_the_work(
    page: WatchedPage, server: Server
) -> None:
    id_ = submitted(server, **LONG)
    page.open()
    page.until("document.querySelector('.job.running .score')?.innerText.includes('%')", "epochs")
    server.http.post(f"/v1/jobs/{id_}/pause")
    page.until("document.querySelector('.job.paused')", "the pause, after which nothing changes")
    # The page is told that each epoch has taken two minutes.
    page.js(
        """async (id) => {
          const state = await import(`${document.documentElement.dataset.web}/state.js`);
          const { metrics } = state.job(id);
          state.put({ id, metrics: { ...metrics, latest: { ...metrics.latest, seconds: 120 } } });
        }""",
        id_,
    )
    page.tab.locator(".acts").get_by_role("button", name="Cancel").click()
    assert re.match(r"Cancel “long”\? \d+ \w+ of work is done", page.text("dialog.question p"))
    page.tab.get_by_role("button", name="Go on training").click()
    assert job(server, id_)["state"] == "paused"
    assert not [sent for sent in page.requests if sent.startswith("POST /v1/jobs")]


def test_a_job_is_renamed_and_tagged_from_its_menu(page: WatchedPage, server: Server) -> None:
    id_ = submitted(server)
    succeeded(server, id_)
    page.open()
    page.tab.locator(".head").get_by_label("More for small").click()
    page.tab.get_by_role("menuitem", name="Rename or tag…").click()
    page.tab.get_by_label("Name", exact=True).fill("the good one")
    page.tab.get_by_label("Tags").fill("week 3, mnist")
    page.tab.get_by_role("button", name="Save").click()
    page.until("document.querySelector('.head h2')?.innerText === 'the good one'", "the name")
    spec = job(server, id_)["spec"]
    assert (spec["name"], spec["tags"]) == ("the good one", ["week 3", "mnist"])
    assert page.tab.locator(".head .tag").all_inner_texts() == ["week 3", "mnist"]
    assert page.text(".job .open") == "the good one"


def test_a_deleted_job_is_deleted_for_good_only_when_nobody_undoes_it(
    new_page: Callable[[Server], WatchedPage], server: Server
) -> None:
    ids = {name: submitted(server, name=name, epochs=1) for name in ("undone", "gone", "kept")}
    for id_ in ids.values():
        succeeded(server, id_)
    page, other = new_page(server).open(), new_page(server)

    page.tab.locator(row("undone")).click()
    page.tab.keyboard.press("Delete")
    page.until("document.querySelectorAll('.job').length === 2", "the row to go")
    page.tab.locator(".notice").get_by_role("button", name="Undo").click()
    page.until("document.querySelectorAll('.job').length === 3", "the row to come back")
    assert page.text(".head h2") == "undone"

    page.tab.locator(row("gone")).click()
    page.tab.keyboard.press("Delete")
    page.tab.wait_for_timeout(4000)
    assert not [sent for sent in page.requests if sent.startswith("DELETE")]
    other.open()
    other.tab.locator(row("kept")).click()
    other.tab.keyboard.press("Delete")
    other.tab.close()
    page.tab.wait_for_timeout(8000)

    deleted = [sent for sent in page.requests if sent.startswith("DELETE")]
    assert deleted == [f"DELETE /v1/jobs/{ids['gone']}"]
    assert {each["spec"]["name"] for each in jobs(server)} == {"undone", "kept"}


# --- What is said ---------------------------------------------------------------------------------


def test_a_job_that_ended_before_its_first_epoch_says_why_and_offers_another_rate(
    page: WatchedPage, server: Server
) -> None:
    id_ = submitted(server, hidden=[256, 256], learning_rate=1000, batch_size=64)
    eventually(lambda: job(server, id_)["state"] == "failed", "the failure", 60)
    page.open()
    reason = job(server, id_)["reason"]["message"]
    assert page.text(".job .now") == reason
    assert page.text(".standing") == f"Failed. {reason}"
    assert "It ended before its first epoch" in page.text(".empty")
    page.tab.get_by_role("button", name="Again with learning rate 0.1").click()
    eventually(lambda: len(jobs(server)) == 2, "the second job")
    specs = {each["id"]: each["spec"] for each in jobs(server)}
    failed = specs.pop(id_)
    [again] = specs.values()
    assert again == {**failed, "learning_rate": 0.1}
    page.until("document.querySelector('.job.succeeded')", "the corrected job to end", 60)


def test_a_job_that_failed_later_keeps_its_curves_up_to_there(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    attempt = started(database_of(still_server), **{**SMALL, "epochs": 20})
    attempt.end(FAILED, BAD, None, [epoch(n, loss=1 / n) for n in range(1, 9)])
    page = new_page(still_server).open()
    page.until(f"({SHARE_OF_INK})('.plot canvas') > 0.03", "its curves")
    assert page.text(".standing") == f"Failed. {BAD[1]}"
    facts = [" ".join(fact.split()) for fact in page.tab.locator(".facts dd").all_inner_texts()]
    assert facts == ["90.00 % epoch 1", "0.1250", "8 of 20", "16 s"]


def test_a_lost_worker_is_said(page: WatchedPage, server: Server) -> None:
    id_ = submitted(server, **LONG)
    page.open()
    page.until("document.querySelector('.job.running .score')?.innerText.includes('%')", "epochs")
    pid = eventually(lambda: server.worker(id_), "the worker")
    os.killpg(pid, signal.SIGKILL)
    page.until(
        "document.querySelector('.standing').innerText.includes('the worker was lost')", "it"
    )
    assert re.match(
        r"(Attempt 2: the worker was lost, it went on from epoch \d+\.)"
        r"|(The worker was lost; it goes on from epoch \d+\.)",
        page.text(".standing"),
    )
    page.until("document.querySelector('.job .now').innerText.startsWith('attempt 2')", "its row")
    JobStore(database_of(server)).act("cancel", id_)
    page.until("document.querySelector('.job.cancelled')", "the end")


def test_a_job_that_changed_its_machine_says_so(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    attempt = started(database_of(still_server), **{**SMALL, "name": "moved"})
    attempt.warn("not_bit_exact", "another kind of CPU", bit_exact=False)
    attempt.end(FAILED, BAD, None, [epoch(1)])
    page = new_page(still_server).open()
    page.until("document.querySelector('.standing')", "the job")
    assert "not bit-exact: it changed its machine" in page.text(".standing")


def test_addresses_with_jobs_that_are_gone_say_so(page: WatchedPage, server: Server) -> None:
    id_ = submitted(server, epochs=1)
    succeeded(server, id_)
    page.open(f"/#jobs={id_},job_01a224fc-0000-7000-8000-000000000000")
    page.until("document.querySelector('.notice')", "the words")
    assert page.text(".notice") == "A job of this address is not here any more."
    page.until(f"location.hash === '#jobs={id_}'", "the address to be right")


def test_a_browser_that_keeps_nothing_shows_the_page(page: WatchedPage) -> None:
    refusal = "get() { throw new DOMException('denied', 'SecurityError'); }"
    page.tab.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {refusal} }})")
    page.open()
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.js(paper)
    page.tab.get_by_role("button", name="Theme").click()
    page.until(f"{paper} !== '{before}'", "the other theme")


def test_a_hidden_or_unknown_tab_gives_way_to_one_that_is_seen(
    page: WatchedPage, server: Server
) -> None:
    succeeded(server, submitted(server, epochs=1))
    for address in ("/#hide=weights", "/#hide=weights&tab=nonsense"):
        page.open(address)
        page.until("document.querySelector('.mistakes .confusion')", "the mistakes")
        page.tab.goto("about:blank")


def test_tabs_follow_the_arrow_keys_and_can_be_hidden(page: WatchedPage, server: Server) -> None:
    id_ = submitted(server, epochs=1)
    succeeded(server, id_)
    page.open("/#hide=mistakes,new")
    page.until("document.querySelector('[role=tab]')", "the tabs")
    names = page.tab.get_by_role("tab").all_inner_texts()
    assert names == ["What it learned", "Data", "Spec and files"]
    assert page.tab.get_by_role("button", name="New", exact=True).count() == 0
    page.tab.get_by_role("tab", name="What it learned").focus()
    page.tab.keyboard.press("End")
    assert page.js("document.activeElement.innerText") == "Spec and files"
    assert page.tab.get_by_role("tab", selected=True).inner_text() == "Spec and files"
    page.until("document.querySelector('.panel pre')", "the spec")
    links = page.js("[...document.querySelectorAll('.spec li a')].map((a) => a.href)")
    assert f"{server.url}/v1/jobs/{id_}/curves.png" in links
    assert {link: server.http.get(link).status_code for link in links} == dict.fromkeys(links, 200)
