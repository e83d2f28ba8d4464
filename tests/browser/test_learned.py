"""What was learned, the slider of epochs and its film, mistakes and data."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.server_process import Server, eventually

Job = dict[str, Any]

DIFFERING = """() => {
  const canvas = document.querySelector('canvas.sheet');
  const {width, height} = canvas;
  const copy = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, width, height);
  const pixels = new Uint32Array(data.buffer), counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  return 1 - Math.max(...counts.values()) / pixels.length;
}"""
"""The share of a canvas that differs from its most frequent colour."""
PICTURE = "document.querySelector('canvas.sheet')?.toDataURL()"
EPOCH = "document.querySelector('.epochs output')?.textContent"


def train(server: Server, **spec: Any) -> Job:
    """Train a small job to its end."""
    submitted = server.http.post("/v1/jobs", json=SMALL | spec).json()
    return eventually(lambda: finished(server, submitted["id"]), "the job to end")


def finished(server: Server, job: str) -> Job | None:
    found: Job = server.http.get(f"/v1/jobs/{job}").json()
    return found if found["state"] in ("succeeded", "failed") else None


def kept_epochs(server: Server, job: Job) -> list[int]:
    return [
        it["epoch"] for it in server.http.get(f"/v1/models/{job['id']}/snapshots").json()["data"]
    ]


def drawn(page: WatchedPage, wanted: str) -> str:
    """Wait until the weights that `wanted` names are drawn, and return their picture."""
    wait = f"document.querySelector('canvas.sheet')?.dataset.drawn === '{wanted}'"
    page.until(wait, f"the weights {wanted}")
    return str(page.js(PICTURE))


def open_with_slider(page: WatchedPage, address: str) -> None:
    """Open the page, and wait until the slider knows the kept epochs."""
    page.open(address)
    page.until("document.querySelector('.epochs input')?.max > 1", "kept epochs")


# --- What it learned ------------------------------------------------------------------------------


def test_weights_without_their_start_look_different(page: WatchedPage, server: Server) -> None:
    job = train(server)["id"]
    page.open(f"/#jobs={job}")
    learned = drawn(page, f"{job} 1 0 true")
    assert page.js(DIFFERING) > 0.05

    page.tab.keyboard.press("g")
    as_they_are = drawn(page, f"{job} 1 0 false")
    assert page.js(DIFFERING) > 0.05
    assert as_they_are != learned
    assert "learned=0" in page.tab.url

    page.tab.keyboard.press("g")
    assert drawn(page, f"{job} 1 0 true") == learned


def test_a_linear_network_has_a_template_for_each_digit(page: WatchedPage, server: Server) -> None:
    job = train(server, hidden=[])["id"]
    page.open(f"/#jobs={job}")
    drawn(page, f"{job} 1 0 true")
    box = page.tab.locator("canvas.sheet").bounding_box()
    assert box
    assert box["height"] < box["width"]  # 2 rows of 5
    assert page.js("document.querySelector('.unit input').max") == "9"
    assert page.js(DIFFERING) > 0.05


def test_a_click_holds_a_unit_and_the_address_names_it(page: WatchedPage, server: Server) -> None:
    job = train(server)["id"]
    page.open(f"/#jobs={job}")
    drawn(page, f"{job} 1 0 true")
    side = page.js("document.querySelector('canvas.sheet').clientWidth") / 8
    page.tab.locator("canvas.sheet").click(position={"x": 3.5 * side, "y": 1.5 * side})
    page.tab.mouse.move(0, 0)
    page.until("document.querySelector('.unit input').value === '11'", "the unit to be held")
    assert "unit=11" in page.tab.url
    weights = page.tab.locator(".outgoing li").evaluate_all("bars => bars.map((bar) => bar.title)")
    rows = server.http.get(f"/v1/models/{job}/weights.json").json()["layers.2.weight"]
    assert [float(re.sub(".*: ", "", bar)) for bar in weights] == pytest.approx(rows[11], abs=0.01)


def test_layers_after_the_first_are_matrices(page: WatchedPage, server: Server) -> None:
    job = train(server, hidden=[16, 12])["id"]
    page.open(f"/#jobs={job}")
    page.tab.get_by_role("button", name="layer 2").click()
    drawn(page, f"{job} 2 0 true")
    assert page.js(DIFFERING) > 0.05
    page.tab.locator("canvas.sheet").hover(position={"x": 5, "y": 5})
    page.until(
        "document.querySelector('.whole')?.textContent.includes('Unit 0 gives unit 0')", "a weight"
    )


def test_a_diverged_job_says_when_it_did(page: WatchedPage, server: Server) -> None:
    job = train(server, learning_rate=1000.0, hidden=[16, 16], batch_size=64)
    assert job["reason"]["code"] == "diverged"
    page.open(f"/#jobs={job['id']}")
    page.until("document.querySelector('.hatched')", "the hatched picture")
    assert page.text(".hatched") == "diverged in epoch 1"


# --- The slider -----------------------------------------------------------------------------------


def test_each_kept_epoch_is_asked_the_same_digit(page: WatchedPage, server: Server) -> None:
    job = train(server)
    open_with_slider(page, f"/#jobs={job['id']}&pad=test:247")
    epochs = kept_epochs(server, job)
    assert epochs[0] == 0
    assert len(epochs) > 2
    for epoch in reversed(epochs[:-1]):
        page.tab.keyboard.press("[")
        page.until(f"location.hash.includes('at={epoch}')", f"epoch {epoch}")
        sample = {"inputs": [{"dataset": "mnist", "split": "test", "index": 247}]}
        answer = server.http.post(f"/v1/models/{job['id']}@{epoch}/predict", json=sample).json()
        label = answer["predictions"][0]["label"]
        asked = (
            f"document.querySelector('.room .head').textContent.includes('{epoch_words(epoch)}')"
        )
        read = f"document.querySelector('.verdict:not(.old) strong')?.textContent === '{label}'"
        page.until(f"{asked} && {read}", f"the verdict {label} of epoch {epoch}")
    page.tab.get_by_role("button", name="newest").click()
    page.until("!location.hash.includes('at=')", "the newest network")


def epoch_words(epoch: int) -> str:
    return f"epoch {epoch}" if epoch else "before training"


def test_new_epochs_do_not_move_a_slider_that_is_held(page: WatchedPage, server: Server) -> None:
    job = server.http.post("/v1/jobs", json=SMALL | {"hidden": [64], "epochs": 200}).json()["id"]
    open_with_slider(page, f"/#jobs={job}")
    page.tab.locator(".epochs input").press("Home")
    page.until(f"{EPOCH} === 'before training'", "the first epoch")
    picture = drawn(page, f"{job}@0 1 0 true")
    kept = int(page.js("document.querySelector('.epochs input').max"))
    page.until(f"document.querySelector('.epochs input').max > {kept + 1}", "two more kept epochs")
    assert page.js("document.querySelector('.epochs input').value") == "0"
    assert page.js(EPOCH) == "before training"
    assert page.js(PICTURE) == picture

    page.tab.get_by_role("button", name="newest").click()
    before = page.js(EPOCH)
    page.until(f"{EPOCH} !== {json.dumps(before)}", "the newest network to be followed")
    server.http.post(f"/v1/jobs/{job}/cancel")


def test_the_film_shows_one_kept_epoch_after_the_other(page: WatchedPage, server: Server) -> None:
    job = train(server, epochs=5)
    open_with_slider(page, f"/#jobs={job['id']}")
    drawn(page, f"{job['id']} 1 0 true")
    page.js("""() => {
      window.shown = [];
      const output = document.querySelector('.epochs output');
      new MutationObserver(() => window.shown.push(output.textContent.split(' · ')[0]))
        .observe(output, {childList: true, characterData: true, subtree: true});
    }""")
    page.tab.keyboard.press(" ")
    page.until(
        "document.querySelector('.epochs button').ariaPressed === 'false' && shown.length > 1",
        "the end",
    )
    epochs = kept_epochs(server, job)
    assert page.js("shown") == ["before training"] + [f"epoch {it}" for it in epochs[1:]]


def test_without_motion_the_film_goes_on_by_hand(page: WatchedPage, server: Server) -> None:
    job = train(server, epochs=5)
    page.tab.emulate_media(reduced_motion="reduce")
    open_with_slider(page, f"/#jobs={job['id']}")
    drawn(page, f"{job['id']} 1 0 true")
    for epoch in kept_epochs(server, job)[:3]:
        page.tab.keyboard.press(" ")
        drawn(page, f"{job['id']}@{epoch} 1 0 true")
        page.tab.wait_for_timeout(600)
        assert f"at={epoch}" in page.tab.url


def test_a_saved_film_has_a_frame_for_each_kept_epoch(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    job = train(server)
    open_with_slider(page, f"/#jobs={job['id']}")
    drawn(page, f"{job['id']} 1 0 true")
    page.tab.locator(".film-menu summary").click()
    with page.tab.expect_download() as download:
        page.tab.get_by_role("button", name="Save film").click()
    film = tmp_path / "film.webm"
    download.value.save_as(film)
    assert download.value.suggested_filename == "small.webm"
    assert film.stat().st_size > 10_000
    assert count_frames(film.read_bytes()) == len(kept_epochs(server, job))


SEGMENT, CLUSTER, BLOCK_GROUP, SIMPLE_BLOCK, BLOCK = 0x18538067, 0x1F43B675, 0xA0, 0xA3, 0xA1


def count_frames(webm: bytes) -> int:
    """Count the blocks of a WebM film; see RFC 8794 (EBML) and RFC 9559 (Matroska)."""
    at, found = 0, 0
    while at < len(webm):
        kind, at = read_number(webm, at, mask=False)
        size, at = read_number(webm, at, mask=True)
        found += kind in (SIMPLE_BLOCK, BLOCK)
        if kind not in (SEGMENT, CLUSTER, BLOCK_GROUP):
            at += size
    return found


def read_number(data: bytes, at: int, *, mask: bool) -> tuple[int, int]:
    """Return a number of variable length, with or without its marker, and the place after it."""
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length])
    return number & ((1 << 7 * length) - 1) if mask else number, at + length


# --- Mistakes -------------------------------------------------------------------------------------


def test_a_cell_shows_its_pictures_and_one_of_them_goes_onto_the_pad(
    page: WatchedPage, server: Server
) -> None:
    job = train(server)["id"]
    page.open(f"/#jobs={job}")
    page.tab.keyboard.press("m")
    page.until("document.querySelectorAll('.confusion td button').length === 100", "the table")
    cells = page.tab.locator(".confusion td button").all_inner_texts()
    evaluation = server.http.get(f"/v1/models/{job}/evaluation").json()
    counts = [count for row in evaluation["confusion"]["counts"] for count in row]
    assert [0 if text == "·" else int(text) for text in cells] == counts

    _, digit, said = max(
        (evaluation["confusion"]["counts"][i][j], i, j)
        for i in range(10)
        for j in range(10)
        if i != j
    )
    page.tab.locator(f"[data-cell='{digit}-{said}']").click()
    mistakes = server.http.get(
        f"/v1/models/{job}/evaluation/misread.json?actual={digit}&predicted={said}"
    ).json()
    first = mistakes["data"][0]["index"]
    label = f"Test digit {first}: a {digit}, read as {said}"
    page.until(
        f"document.querySelector('.contact-sheet button')?.ariaLabel.startsWith('{label}')",
        "the surest mistake",
    )
    assert f"cell={digit}-{said}" in page.tab.url
    page.tab.locator(".contact-sheet button").first.click()
    page.until(f"location.hash.includes('pad=test:{first}')", "the picture to be on the pad")
    read = f"document.querySelector('.verdict:not(.old) strong')?.textContent === '{said}'"
    page.until(read, "the same mistake in the dark room")


def test_two_networks_show_what_only_one_of_them_reads(page: WatchedPage, server: Server) -> None:
    one, other = train(server, name="one")["id"], train(server, name="other", seed=2)["id"]
    page.open(f"/#jobs={one},{other}&tab=mistakes")
    for reader, wrong, right in (("one", other, one), ("other", one, other)):
        page.tab.get_by_role("button", name=f"only {reader} reads").click()
        found = server.http.get(
            f"/v1/models/{wrong}/evaluation/misread.json?unlike={right}&limit=60"
        ).json()
        first = found["data"][0]
        label = f"Test digit {first['index']}: a {first['actual']}, read as {first['predicted']}"
        page.until(
            f"document.querySelector('.contact-sheet button')?.ariaLabel.startsWith('{label}')",
            f"what only {reader} reads",
        )


def test_mistakes_follow_the_slider(page: WatchedPage, server: Server) -> None:
    job = train(server)["id"]
    page.open(f"/#jobs={job}&tab=mistakes&at=1")
    confusion = server.http.get(f"/v1/models/{job}@1/evaluation").json()["confusion"]["counts"]
    diagonal = [str(confusion[digit][digit]) for digit in range(10)]
    shown = "[...document.querySelectorAll('.confusion .right')].map((cell) => cell.textContent)"
    page.until(
        f"JSON.stringify({shown}) === '{json.dumps(diagonal, separators=(',', ':'))}'", "epoch 1"
    )


# --- Data -----------------------------------------------------------------------------------------


def test_the_data_is_shown_by_class(page: WatchedPage, server: Server) -> None:
    job = train(server)["id"]
    page.open(f"/#jobs={job}&tab=data")
    page.until("document.querySelectorAll('.contact-sheet img').length === 120", "all classes")
    page.tab.locator(".classes button").nth(8).click()
    page.until(
        "document.querySelector('.contact-sheet button').ariaLabel.startsWith('A 7,')", "sevens"
    )
    words = page.js("document.querySelector('.contact-sheet button').ariaLabel")
    row = int(re.findall("row ([0-9]+)", words)[0])
    assert server.http.get(f"/v1/datasets/mnist/test/{row}.json").json()["label"] == 7
    assert page.text(".classes button:nth-child(9)") == "7 1 028"
    assert "CC BY-SA 3.0" in page.text(".data")
    page.tab.locator(".contact-sheet button").first.click()
    page.until(f"location.hash.includes('pad=test:{row}')", "the picture to be on the pad")
