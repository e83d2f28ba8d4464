"""What the page does with corrections: kept, taken back, trained on, refused."""

from collections.abc import Callable
from pathlib import Path

from tests.support.browser import WatchedPage
from tests.support.page_datasets import VERDICT, packed, put, train
from tests.support.server_process import Server

TEACH = "Teach it: what this is"
"""The label of the list of answers."""


def put_on_pad(page: WatchedPage, job: str, row: int) -> None:
    page.js("(address) => { location.hash = address; }", f"#jobs={job}&pad=test:{row}")
    page.until(f"location.hash.includes('pad=test:{row}')", "the address")
    page.until("document.querySelector('.teach select:not(:disabled)')", "an answer")
    page.tab.wait_for_timeout(300)


def correct(page: WatchedPage, job: str, *corrections: tuple[int, str]) -> None:
    """Say what rows of the test set are, on a page that has kept nothing yet."""
    for count, (row, label) in enumerate(corrections, 1):
        put_on_pad(page, job, row)
        page.tab.get_by_label(TEACH).select_option(label)
        until_kept(page, count)


def until_kept(page: WatchedPage, count: int) -> None:
    kept = f"document.querySelector('.teach')?.innerText.includes('{count} kept')"
    page.until(kept, f"{count} kept corrections")


def test_what_is_corrected_is_kept_and_can_be_taken_back(
    page: WatchedPage, server: Server, new_page: Callable[[Server], WatchedPage], tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    job = train(server, "letters", hidden=[12], learning_rate=0.05)
    page.open(f"/#jobs={job}")
    correct(page, job, (0, "B"), (1, "C"), (1, "A"))
    assert "a network that trains on it knows that answer" in page.text(".notices")
    page.tab.get_by_role("button", name="Take one back").click()
    until_kept(page, 2)

    other = new_page(server).open(f"/#jobs={job}")
    until_kept(other, 2)
    other.tab.close()
    page.tab.reload()
    until_kept(page, 2)
    put_on_pad(page, job, 2)
    page.tab.get_by_label(TEACH).select_option("C")
    until_kept(page, 3)
    assert page.text(".notices").endswith("Undo")
    page.tab.get_by_role("button", name="Train on 3 kept").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '1024-12-3'", "cost")
    assert page.tab.locator(".notices button").count() == 0  # nothing can be taken back now


def test_corrections_are_trained_on_with_the_rows_of_their_data_set(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    job = train(server, "letters", hidden=[12], learning_rate=0.05)
    page.open(f"/#jobs={job}")
    correct(page, job, (0, "B"), (2, "C"))
    page.tab.get_by_role("button", name="Train on 2 kept").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '1024-12-3'", "cost")
    made = server.http.get("/v1/datasets/letters-corrections").json()
    before = server.http.get("/v1/datasets/letters").json()
    assert (made["state"], made["samples"]) == ("ready", 2)
    assert made["train_rows"] == before["train_rows"] + 2
    added = server.http.get(f"/v1/datasets/letters-corrections/train/{made['train_rows'] - 1}.json")
    asked = server.http.get("/v1/datasets/letters/test/2.json").json()
    assert (added.json()["name"], added.json()["pixels"]) == ("C", asked["pixels"])

    page.tab.locator(".new-job .finish .primary").click()
    page.until("document.querySelectorAll('.job.succeeded').length === 2", "the second job", 90)
    jobs = server.http.get("/v1/jobs").json()["data"]
    [taught] = [it for it in jobs if it["id"] != job]
    spec = taught["spec"]
    assert (spec["dataset"], spec["learning_rate"]) == ("letters-corrections", 0.05)
    page.until(f"{VERDICT}?.length === 1", "the same picture asked again")
    correct(page, taught["id"], (0, "B"))
    names = [it["name"] for it in server.http.get("/v1/datasets").json()["data"]]
    assert sorted(names) == ["letters", "letters-corrections", "letters-corrections-2", "mnist"]


def test_why_corrections_can_not_be_kept_is_said(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    job = train(server, "letters", epochs=1)
    page.open(f"/#jobs={job}")
    put_on_pad(page, job, 0)
    for number in range(19):
        sent = {"label": "A", "image": {"dataset": "letters", "index": 0}}
        server.http.post(f"/v1/datasets/other-{number}/samples", json=sent)
    refused = server.http.post("/v1/datasets/letters-corrections/samples", json=sent)
    assert refused.status_code == 409
    page.expect("409")
    page.tab.get_by_label(TEACH).select_option("B")
    page.until("document.querySelector('.notice.bad')", "the refusal")
    assert page.text(".notice.bad") == refused.json()["detail"]
