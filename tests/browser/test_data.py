"""Data sets on the page: sent, refused, looked at and trained on."""

from pathlib import Path

from tests.support.browser import WatchedPage
from tests.support.page_datasets import TABLE, VERDICT, gems, packed, put, train
from tests.support.server_process import Server


def choose_file(page: WatchedPage, *paths: Path) -> None:
    with page.tab.expect_file_chooser() as chooser:
        page.tab.get_by_role("button", name="Add your own…").click()
    chooser.value.set_files([str(path) for path in paths])


def test_a_zip_is_sent_looked_at_and_learned(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    page.open()
    page.tab.get_by_text("bring your own pictures").click()
    page.until("document.querySelectorAll('.contact-sheet img').length === 120", "MNIST")
    choose_file(page, packed(tmp_path))
    assert page.tab.locator(".adding input[name=name]").input_value() == "my-letters"
    page.tab.get_by_role("button", name="Send", exact=True).click()
    page.until("document.querySelector('.report .doubts b')?.innerText === 'inverted'", "a warning")
    report = server.http.get("/v1/datasets/my-letters/report").json()
    assert report["warnings"][-1]["detail"] in page.text(".report .doubts")
    page.until("document.querySelectorAll('.contact-sheet img').length === 36", "its pictures")
    assert page.tab.locator(".classes b").all_inner_texts() == ["all", "A", "B", "C"]

    page.tab.get_by_role("button", name="Train on it").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '1024-128-3'", "cost")
    assert page.tab.get_by_label("Data set", exact=True).last.input_value() == "my-letters"
    chips = page.tab.locator(".chip.fixed").all_inner_texts()
    assert [chip.split() for chip in chips] == [["1024", "pixels"], ["3", "classes"]]
    page.tab.locator(".new-job .finish .primary").click()
    page.until("document.querySelector('.job.succeeded')", "the job", 90)
    [job] = server.http.get("/v1/jobs").json()["data"]
    assert job["spec"]["dataset"] == "my-letters"
    page.tab.keyboard.press("`")
    page.until("document.querySelector('.calls li')", "the drawer")
    lines = page.tab.locator(".calls code").all_inner_texts()
    assert f"curl -s -T 'My Letters.zip' '{server.url}/v1/datasets/my-letters'" in lines


def test_refusals_are_in_the_words_of_the_server(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "taken", packed(tmp_path).read_bytes())
    (tmp_path / "taken.csv").write_text("a,b\n1,2\n")
    (tmp_path / "page.zip").write_text("<!doctype html><title>404</title>")
    page.expect("409")
    page.open("/#tab=data")
    page.until("document.querySelector('.data select')", "the panel")
    choose_file(page, tmp_path / "taken.csv")
    page.tab.get_by_role("button", name="Send", exact=True).click()
    page.until("document.querySelector('.adding .error')", "the refusal")
    refused = server.http.put("/v1/datasets/taken", content=b"a,b\n1,2\n").json()
    assert page.text(".adding .error") == refused["detail"]
    page.tab.get_by_role("button", name="Not now").click()

    transfer = page.tab.evaluate_handle(
        """(text) => {
          const files = new DataTransfer();
          files.items.add(new File([text], 'page.zip'));
          return files;
        }""",
        (tmp_path / "page.zip").read_text(),
    )
    page.tab.dispatch_event(".data", "drop", {"dataTransfer": transfer})
    page.tab.get_by_role("button", name="Send", exact=True).click()
    page.until("document.querySelector('.report .flaws')", "what is wrong")
    [flaw] = server.http.get("/v1/datasets/page/report").json()["errors"]
    assert flaw["detail"] in page.text(".report .flaws")
    assert page.text(".data .standing").startswith("Its files can")
    page.tab.get_by_role("button", name="Delete", exact=True).click()
    page.tab.get_by_role("button", name="Delete it").click()
    page.until("document.querySelector('.data select').value === 'mnist'", "the way back")
    assert server.http.get("/v1/datasets/page").status_code == 404


def test_a_set_in_colour_is_shown_with_its_warnings_and_splits(
    page: WatchedPage, server: Server
) -> None:
    put(server, "gems", gems(), color="keep")
    job = train(server, "gems", epochs=2)
    page.open(f"/#jobs={job}&tab=data")
    page.until("document.querySelectorAll('.doubts img').length === 2", "pictures of warnings")
    page.js("document.querySelectorAll('.doubts img').forEach((it) => it.scrollIntoView())")
    for code, pictures in (("leak", 6), ("duplicates", 6)):
        size = f"document.querySelector('.doubts img[src*={code}]').naturalWidth"
        page.until(f"{size} > {96 * pictures - 160}", f"{pictures} pictures of {code}")
    splits = page.tab.get_by_role("group", name="Split").get_by_role("button")
    assert splits.all_inner_texts() == ["test", "validation", "train"]
    splits.nth(1).click()
    page.until("document.querySelectorAll('.contact-sheet img').length === 12", "its pictures")
    page.tab.locator(".contact-sheet button").first.click()
    page.until("location.hash.includes('pad=validation:0')", "the address of the sample")
    page.until(f"{VERDICT} in {{ leaf: 1, ruby: 1, sky: 1 }}", "an answer")


def open_new_job(page: WatchedPage, server: Server) -> None:
    """Open the dialog for a job with the set of gems, beside which there is a table."""
    put(server, "gems", gems(), color="keep")
    put(server, "trees", TABLE.encode(), input="vector", column="kind")
    page.open("/#tab=data")
    page.until("document.querySelector('.data select')", "the panel")
    page.tab.locator(".data select").first.select_option("gems")
    page.tab.get_by_role("button", name="Train on it").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '240-128-3'", "cost")


def test_a_new_job_is_offered_what_its_set_in_colour_allows(
    page: WatchedPage, server: Server
) -> None:
    open_new_job(page, server)
    assert page.text(".set-line") == (
        "39 pictures to train on, 18 to test on · 10x8 pixels in colour · "
        "3 classes: leaf, ruby, sky"
    )
    cards = page.tab.locator(".presets button")
    assert cards.nth(0).inner_text().split("\n")[1] == "3 templates"
    assert cards.nth(3).inner_text().split("\n")[1] == "deformed pictures"
    page.tab.get_by_text("Everything else a spec can say").click()
    assert page.tab.get_by_label("Deform the pictures").is_enabled()


def test_a_table_is_not_deformed_whatever_was_chosen_before(
    page: WatchedPage, server: Server
) -> None:
    open_new_job(page, server)
    page.tab.get_by_text("Everything else a spec can say").click()
    cards = page.tab.locator(".presets button")
    cards.nth(3).click()
    of_dataset = page.tab.get_by_label("Data set", exact=True).last
    of_dataset.select_option("trees")
    page.until("document.querySelector('.new-job .field.switch .error')", "why it can't be")
    body = {"preset": "mlp-augmented", "dataset": "trees"}
    [error] = server.http.post("/v1/jobs/preview", json=body).json()["errors"]
    assert error["detail"] in page.text(".new-job .field.switch .error")
    cards.nth(0).click()
    page.until("document.querySelector('.presets button:last-child:disabled')", "the card")
    assert cards.nth(0).inner_text().split("\n")[1] == "2 weighted sums"
    assert cards.nth(3).inner_text().split("\n")[1].startswith("rows of numbers can")
    page.until("document.getElementById('field-augmentation').disabled", "the switch")
    assert "Deform the rows" in page.text(".new-job details")
    of_dataset.select_option("mnist")
    page.until("document.querySelector('.presets button:last-child:not(:disabled)')", "the card")
    assert cards.nth(3).inner_text().split("\n")[1] == "deformed digits, 10 min"
