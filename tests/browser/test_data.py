"""Data sets on the page: sent, looked at, learned and asked about."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.browser import WatchedPage
from tests.support.image_requests import encoded
from tests.support.own_pictures import write_letters
from tests.support.server_process import Server, eventually

PIXEL = """() => {
  const canvas = document.querySelector('.eye canvas');
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const levels = Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
  return { corner: levels[0], most: Math.max(...levels), width };
}"""
VERDICT = "document.querySelector('.room .verdict strong')?.textContent"
TABLE = "length,width,kind\n" + "".join(
    f"{5 + at % 7 / 10},{at % 5 + (0 if at % 2 else 9)},{'oak' if at % 2 else 'elm'}\n"
    for at in range(60)
)
"""Rows of two measurements with a class."""


def packed(folder: Path) -> Path:
    """Return a zip of three classes of letters."""
    write_letters(folder / "letters")
    path = folder / "My Letters.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((folder / "letters").rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def put(server: Server, name: str, content: bytes, **options: Any) -> None:
    """Send a data set without the page, and wait until it is ready."""
    answer = server.http.put(f"/v1/datasets/{name}", content=content, params=options)
    assert answer.status_code == 201, answer.text
    eventually(lambda: server.http.get(f"/v1/datasets/{name}").json()["state"] == "ready", name, 30)


def train(server: Server, dataset: str, **spec: Any) -> str:
    spec = {"hidden": [16], "epochs": 30, "batch_size": 16, "dataset": dataset, **spec}
    job = str(server.http.post("/v1/jobs", json=spec).json()["id"])
    eventually(
        lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", "the job", 60
    )
    return job


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


def test_a_network_of_letters_is_asked_and_its_mistakes_have_names(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    job = train(server, "letters")
    page.open(f"/#jobs={job}&tab=data")
    page.until("document.querySelectorAll('.contact-sheet img').length === 36", "its pictures")
    page.tab.get_by_label("A B, row", exact=False).first.click()
    page.until(f"{VERDICT} === 'B'", "the verdict")
    assert page.text(".eye").startswith("what it sees unchanged ")
    assert page.tab.locator(".bars b").all_inner_texts() == ["A", "B", "C"]
    assert page.js(PIXEL)["width"] == 32
    assert page.js("location.hash").count("pad=test:") == 1

    # Taught with dark ink on white paper, it sees what is drawn as it saw its letters.
    page.tab.keyboard.press("Escape")
    box = page.tab.locator(".pad").bounding_box()
    assert box
    page.tab.mouse.move(box["x"] + 60, box["y"] + 60)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + 120, box["y"] + 180, steps=8)
    page.tab.mouse.up()
    page.until(f"{VERDICT}?.length === 1", "an answer")
    seen = page.js(PIXEL)
    assert (seen["corner"], seen["width"]) == (0, 32)
    assert seen["most"] > 200

    page.tab.keyboard.press("m")
    page.until("document.querySelectorAll('.confusion td button').length === 9", "the table")
    evaluation = server.http.get(f"/v1/models/{job}/evaluation").json()
    cells = page.tab.locator(".confusion td button").all_inner_texts()
    counts = [count for row in evaluation["confusion"]["counts"] for count in row]
    assert [0 if text == "·" else int(text) for text in cells] == counts
    assert "test pictures are read wrongly" in page.text(".mistakes .summary")


def test_letters_in_the_form_of_digits_are_not_called_digits(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes(), normalize=True)
    job = train(server, "letters", epochs=3, learning_rate=1e-6, seed=3)
    assert server.http.get("/v1/datasets/letters").json()["input"] == "digit"
    page.open(f"/#jobs={job}&tab=data&pad=test:0")
    page.until(f"{VERDICT}?.length === 1", "an answer")
    assert page.tab.get_by_role("button", name="Test picture").count() == 1
    assert page.text(".eye").startswith("what it sees unchanged ")
    page.tab.get_by_role("button", name="Train on it").click()
    page.until("document.querySelector('.set-line')", "its rows and classes")
    assert "pictures to train on" in page.text(".set-line")
    page.tab.keyboard.press("Escape")

    # The service knows best what to do about a network that has learned nothing.
    reason = server.http.get(f"/v1/jobs/{job}").json()["reason"]
    assert reason["code"] == "learned_nothing"
    assert page.text(".standing span") == reason["message"]
    # Of mere guesses, the best epoch is the luckiest one.
    metrics = server.http.get(f"/v1/jobs/{job}").json()["metrics"]
    assert metrics["best"]["epoch"] < metrics["latest"]["epoch"] == 3
    accuracy = f"{100 * metrics['latest']['test_accuracy']:.2f}\N{NO-BREAK SPACE}%"
    told = page.tab.locator(".facts div").first.inner_text().split("\n")
    assert sorted(told) == sorted(["last test accuracy", f"{accuracy} epoch 3"])
    assert page.tab.locator(".job .score").inner_text() == accuracy


def test_an_upload_is_read_anew_by_a_network_of_another_data_set(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    content = packed(tmp_path).read_bytes()
    put(server, "letters", content)
    put(server, "small", content, size=16)
    jobs = [train(server, name) for name in ("letters", "small")]
    page.open(f"/#jobs={jobs[0]}")
    with page.tab.expect_file_chooser() as chooser:
        page.tab.get_by_role("button", name="Upload").click()
    chooser.value.set_files(str(tmp_path / "letters" / "B" / "1.png"))
    for job, width in ((jobs[0], 32), (jobs[1], 16), (jobs[0], 32)):
        page.js(f"location.hash = 'jobs={job}'")
        page.until(f"({PIXEL})().width === {width}", "what it sees")
        page.until(f"{VERDICT} === 'B'", "the verdict")


def test_mistakes_follow_to_a_network_of_fewer_rows_and_classes(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "many", packed(tmp_path).read_bytes(), test=0.5)
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        for file in sorted((tmp_path / "letters").glob("[AB]/?.png")):
            archive.write(file, file.relative_to(tmp_path / "letters"))
    put(server, "few", (tmp_path / "few.zip").read_bytes())
    untaught = {"epochs": 1, "learning_rate": 1e-6}
    jobs = [train(server, name, **untaught) for name in ("many", "few")]
    page.open(f"/#jobs={jobs[0]}&tab=mistakes")
    page.until("document.querySelectorAll('.contact-sheet img').length > 8", "the mistakes")
    mistakes = "document.querySelectorAll('.confusion td button[aria-disabled=false]')"
    page.js(f"[...{mistakes}].find(({{ dataset }}) => dataset.cell.includes('2')).click()")
    page.until("location.hash.includes('cell=')", "a chosen cell")
    page.js(f"location.hash = location.hash.replace('{jobs[0]}', '{jobs[1]}')")
    page.until("document.querySelectorAll('.confusion td button').length === 4", "the table")
    page.until("document.querySelectorAll('.contact-sheet img').length < 5", "its mistakes")
    # At the end, the page is asked whether any of its requests was refused.


def test_a_network_whose_data_set_is_gone_is_shown_and_asked_as_what_it_is(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    jobs = [train(server, "letters", epochs=epochs, learning_rate=1e-6) for epochs in (1, 2)]
    counts = server.http.get(f"/v1/models/{jobs[0]}/evaluation").json()["confusion"]["counts"]
    assert server.http.delete("/v1/datasets/letters?force=true").status_code == 204

    page.open(f"/#jobs={jobs[0]}&tab=mistakes")
    page.until("document.querySelectorAll('.confusion td button').length === 9", "the table")
    cells = page.tab.locator(".confusion td button").all_inner_texts()
    assert [0 if text == "·" else int(text) for text in cells] == [
        count for row in counts for count in row
    ]
    page.until("document.querySelectorAll('.mistakes li').length > 8", "the mistakes in words")
    assert page.tab.locator(".job .shape").all_inner_texts() == ["1024-16-3 relu"] * 2
    page.until("document.querySelector('.bars b')?.innerText === 'A'", "the names")
    assert page.tab.locator(".bars b").all_inner_texts() == ["A", "B", "C"]
    page.tab.keyboard.press("w")
    page.until("document.querySelectorAll('.learned canvas').length > 0", "the weights")
    assert page.js("document.querySelector('.learned canvas').clientHeight") > 50

    box = page.tab.locator(".pad").bounding_box()
    assert box
    page.tab.mouse.move(box["x"] + 60, box["y"] + 60)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + 120, box["y"] + 180, steps=8)
    page.tab.mouse.up()
    page.until(f"['A', 'B', 'C'].includes({VERDICT})", "an answer")
    seen = page.js(PIXEL)
    assert (seen["corner"], seen["width"]) == (0, 32)

    page.expect("404")
    page.tab.keyboard.press("d")
    page.until("document.querySelector('.data .hush')?.innerText.startsWith('There is no')", "why")

    # The mistakes of the other network were never counted, and can't be any more.
    page.expect("409")
    gone = server.http.get(f"/v1/models/{jobs[1]}/evaluation").json()
    assert gone["code"] == "dataset-gone"
    page.js(f"location.hash = 'jobs={jobs[1]}&tab=mistakes'")
    words = "document.querySelector('#panel p.hush')?.innerText"
    page.until(f"{words}?.startsWith('The data set')", "why there are none")
    assert page.js(words) == gone["detail"]


def put_on_pad(page: WatchedPage, job: str, row: int) -> None:
    page.js("(address) => { location.hash = address; }", f"#jobs={job}&pad=test:{row}")
    page.until(f"location.hash.includes('pad=test:{row}')", "the address")
    page.until("document.querySelector('.teach select:not(:disabled)')", "an answer")
    page.tab.wait_for_timeout(300)


def test_what_is_corrected_is_kept_and_trained_on(
    page: WatchedPage, server: Server, new_page: Callable[[Server], WatchedPage], tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    job = train(server, "letters", hidden=[12], learning_rate=0.05)
    page.open(f"/#jobs={job}")
    teach = page.tab.get_by_label("Teach it: what this is")
    for count, (row, label) in enumerate(((0, "B"), (1, "C"), (1, "A")), 1):
        put_on_pad(page, job, row)
        teach.select_option(label)
        page.until(f"document.querySelector('.teach')?.innerText.includes('{count} kept')", label)
    assert "a network that trains on it knows that answer" in page.text(".notices")
    page.tab.get_by_role("button", name="Take one back").click()
    page.until("document.querySelector('.teach')?.innerText.includes('2 kept')", "one less")

    other = new_page(server).open(f"/#jobs={job}")
    other.until("document.querySelector('.teach')?.innerText.includes('2 kept')", "the same there")
    other.tab.close()
    page.tab.reload()
    page.until("document.querySelector('.teach')?.innerText.includes('2 kept')", "what was kept")
    put_on_pad(page, job, 2)
    teach.select_option("C")
    page.until("document.querySelector('.teach')?.innerText.includes('3 kept')", "another one")
    assert page.text(".notices").endswith("Undo")
    page.tab.get_by_role("button", name="Train on 3 kept").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '1024-12-3'", "cost")
    assert page.tab.locator(".notices button").count() == 0  # nothing can be taken back now
    made = server.http.get("/v1/datasets/letters-corrections").json()
    before = server.http.get("/v1/datasets/letters").json()
    assert (made["state"], made["samples"]) == ("ready", 3)
    assert made["train_rows"] == before["train_rows"] + 3
    added = server.http.get(f"/v1/datasets/letters-corrections/train/{made['train_rows'] - 1}.json")
    asked = server.http.get("/v1/datasets/letters/test/2.json").json()
    assert (added.json()["name"], added.json()["pixels"]) == ("C", asked["pixels"])

    page.tab.locator(".new-job .finish .primary").click()
    page.until("document.querySelectorAll('.job.succeeded').length === 2", "the second job", 90)
    jobs = server.http.get("/v1/jobs").json()["data"]
    [taught] = [it["spec"] for it in jobs if it["id"] != job]
    assert (taught["dataset"], taught["learning_rate"]) == ("letters-corrections", 0.05)
    page.until(f"{VERDICT}?.length === 1", "the same picture asked again")
    put_on_pad(page, next(it["id"] for it in jobs if it["id"] != job), 0)
    teach.select_option("B")
    page.until("document.querySelector('.teach')?.innerText.includes('1 kept')", "the next one")
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
    page.tab.get_by_label("Teach it: what this is").select_option("B")
    page.until("document.querySelector('.notice.bad')", "the refusal")
    assert page.text(".notice.bad") == refused.json()["detail"]


GEMS = ("leaf", "ruby", "sky")


def gems() -> bytes:
    """Return a zip of coloured pictures in three splits, with a leak and two equal ones."""
    rng = np.random.default_rng(2)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for split, rows in (("train", 12), ("val", 4), ("test", 5)):
            for channel, kind in enumerate(GEMS):
                for at in range(rows):
                    pixels = rng.integers(0, 60, (10, 8, 3), np.uint8)
                    pixels[2:7, 1:6, channel] = 250
                    archive.writestr(f"gems/{split}/{kind}/{at}.png", encoded(pixels))
                    if at == 3 and split == "train":
                        archive.writestr(f"gems/{split}/{kind}/copy.png", encoded(pixels))
                    if at == 4 and split == "train":
                        archive.writestr(f"gems/test/{kind}/leak.png", encoded(pixels))
    return file.getvalue()


def test_a_set_in_colour_is_shown_and_trained_as_what_it_is(
    page: WatchedPage, server: Server
) -> None:
    put(server, "gems", gems(), color="keep")
    put(server, "trees", TABLE.encode(), input="vector", column="kind")
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

    page.tab.get_by_role("button", name="Train on it").click()
    page.until("document.querySelector('.new-job .cost .mono')?.innerText === '240-128-3'", "cost")
    assert page.text(".set-line") == (
        "39 pictures to train on, 18 to test on · 10x8 pixels in colour · "
        "3 classes: leaf, ruby, sky"
    )
    cards = page.tab.locator(".presets button")
    assert cards.nth(0).inner_text().split("\n")[1] == "3 templates"
    assert cards.nth(3).inner_text().split("\n")[1] == "deformed pictures"
    page.tab.get_by_text("Everything else a spec can say").click()
    assert page.tab.get_by_label("Deform the pictures").is_enabled()
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


def test_what_is_on_the_pad_has_the_form_of_the_network(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    put(server, "gems", gems(), color="keep")
    jobs = [train(server, name, epochs=1) for name in ("letters", "gems")]
    page.open(f"/#jobs={jobs[0]}&pad=test:1")
    page.until("document.querySelector('.teach select:not(:disabled)')", "an answer")
    page.js(f"location.hash = location.hash.replace('{jobs[0]}', '{jobs[1]}')")
    page.until("document.querySelector('.notice')", "a word about it")
    assert page.text(".notice") == (
        "The picture of letters is no longer on the pad: it has 32x32 pixels, and this network "
        "reads 10x8 pixels in colour."
    )
    page.until("!location.hash.includes('pad=')", "its address to go")
    page.until("document.querySelector('.room .hint')", "an empty pad")


def test_a_network_of_table_rows_has_no_pad(page: WatchedPage, server: Server) -> None:
    put(server, "trees", TABLE.encode(), input="vector", column="kind")
    job = train(server, "trees", hidden=[4])
    page.open(f"/#jobs={job}&tab=data")
    page.until("document.querySelector('.room p')?.innerText.includes('rows of a table')", "words")
    assert page.tab.locator(".pad").count() == 0
    page.until("document.querySelector('.data').innerText.includes('2 numbers each')", "its form")
    page.tab.keyboard.press("w")
    page.until("document.querySelector('canvas.sheet')?.dataset.drawn", "its weights")
    assert page.text(".job .shape").startswith("2-4-2")
