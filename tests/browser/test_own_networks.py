"""Networks of other data sets than MNIST on the page: asked, and shown with their mistakes."""

import zipfile
from pathlib import Path

from tests.support.browser import WatchedPage
from tests.support.page_datasets import (
    PIXEL,
    TABLE,
    VERDICT,
    delete,
    gems,
    packed,
    put,
    train,
)
from tests.support.page_states import draw
from tests.support.server_process import Server

LINE = [(0.2, 0.2), (0.4, 0.65)]
"""A line on the pad, as fractions of it."""


def counted(server: Server, job: str) -> list[int]:
    """Return how often a network of three classes reads each class as each other one."""
    confusion = server.http.get(f"/v1/models/{job}/evaluation").json()["confusion"]
    return [count for row in confusion["counts"] for count in row]


def shown(page: WatchedPage) -> list[int]:
    """Return the same as the page shows it, once it does."""
    page.until("document.querySelectorAll('.confusion td button').length === 9", "the table")
    cells = page.tab.locator(".confusion td button").all_inner_texts()
    return [0 if text == "·" else int(text) for text in cells]


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
    draw(page, LINE)
    page.until(f"{VERDICT}?.length === 1", "an answer")
    seen = page.js(PIXEL)
    assert (seen["corner"], seen["width"]) == (0, 32)
    assert seen["most"] > 200

    page.tab.keyboard.press("m")
    assert shown(page) == counted(server, job)
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
    # The network only guesses, so its best epoch is merely the luckiest one.
    metrics = server.http.get(f"/v1/jobs/{job}").json()["metrics"]
    assert metrics["best"]["epoch"] < metrics["latest"]["epoch"] == 3
    accuracy = f"{100 * metrics['latest']['test_accuracy']:.2f}\N{NO-BREAK SPACE}%"
    told = page.tab.locator(".facts div").first.inner_text().split("\n")
    assert sorted(told) == sorted(["last test accuracy", f"{accuracy} epoch 3"])
    assert page.text(".job .score") == " ".join(accuracy.split())


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
    job = train(server, "letters", epochs=1, learning_rate=1e-6)
    counts = counted(server, job)
    delete(server, "letters")

    page.open(f"/#jobs={job}&tab=mistakes")
    assert shown(page) == counts
    page.until("document.querySelectorAll('.mistakes li').length > 8", "the mistakes in words")
    assert page.text(".job .shape") == "1024-16-3 relu"
    page.until("document.querySelector('.bars b')?.innerText === 'A'", "the names")
    assert page.tab.locator(".bars b").all_inner_texts() == ["A", "B", "C"]
    page.tab.keyboard.press("w")
    page.until("document.querySelectorAll('.learned canvas').length > 0", "the weights")
    assert page.js("document.querySelector('.learned canvas').clientHeight") > 50

    draw(page, LINE)
    page.until(f"['A', 'B', 'C'].includes({VERDICT})", "an answer")
    seen = page.js(PIXEL)
    assert (seen["corner"], seen["width"]) == (0, 32)


def test_what_a_data_set_that_is_gone_makes_impossible_is_said(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    put(server, "letters", packed(tmp_path).read_bytes())
    jobs = [train(server, "letters", epochs=epochs, learning_rate=1e-6) for epochs in (1, 2)]
    counted(server, jobs[0])
    delete(server, "letters")
    page.open(f"/#jobs={jobs[0]}&tab=mistakes")
    shown(page)
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
