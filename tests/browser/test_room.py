"""The dark room: whatever is drawn is read while it is drawn, and the answer is explained."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import WatchedPage
from tests.support.pens import (
    PENS,
    READER,
    SEVEN,
    bars,
    copied_picture,
    draw_with_mouse,
    pixels,
    settle,
    verdict,
)
from tests.support.server_process import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALL = "pixels,probabilities,activations,votes,contributions"
OpenTab = Callable[[Server], WatchedPage]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Any) -> Iterator[Server]:
    """A service with two networks: `linear`, and `reader`, which is newer."""
    server = Server(tmp_path_factory.mktemp("room") / "data", datasets_dir).start()
    server.wait(server.submit(preset="linear", name="linear", epochs=1), "succeeded")
    server.wait(server.submit(**READER), "succeeded")
    yield server
    server.stop()


def _id(server: Server, name: str) -> str:
    jobs = server.http.get("/v1/jobs").json()["data"]
    return str(next(job["id"] for job in jobs if job["spec"]["name"] == name))


def _asked(server: Server, body: bytes | dict[str, Any], name: str, **query: Any) -> dict[str, Any]:
    """Return what the API itself predicts, with reasons."""
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    if isinstance(body, bytes):
        sent["headers"] = {"Content-Type": "image/png"}
    path = f"/v1/models/{_id(server, name)}/predict"
    answer = server.http.post(path, params={"return": ALL, **query}, **sent)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["predictions"][0])


def _sample(index: int) -> dict[str, Any]:
    return {"inputs": [{"dataset": "mnist", "split": "test", "index": index}]}


# --- Drawing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pen", PENS)
def test_a_seven_is_read_and_the_page_shows_exactly_what_the_api_answers(
    trained: Server, new_page: OpenTab, pen: str
) -> None:
    page = new_page(trained).open()
    PENS[pen](page, SEVEN)
    assert verdict(page) == 7
    expected = _asked(trained, copied_picture(page), "reader")
    assert bars(page) == pytest.approx(expected["probabilities"], abs=1e-6)
    seen = [grey for row in expected["input"]["pixels"] for grey in row]
    assert pixels(page, 0) == [[grey] * 3 for grey in seen]


def test_a_phone_does_not_scroll_while_a_finger_draws(trained: Server, browser: "Browser") -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 600}, has_touch=True, is_mobile=True
    )
    page = WatchedPage(phone, trained.url).open("/#place=room")
    assert page.js("document.documentElement.scrollHeight") > 600
    PENS["finger"](page, [(0.5, 0.8), (0.5, 0.1)])
    assert page.js("scrollY") == 0
    assert verdict(page) == 1
    page.assert_clean()
    phone.close()


def test_a_one_can_be_drawn_with_the_keyboard_alone(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open()
    keys = page.tab.keyboard
    keys.press("3")
    for _ in range(9):
        keys.press("ArrowUp")
    keys.press("Space")
    for _ in range(18):
        keys.press("ArrowDown")
    keys.press("Space")
    keys.press("ArrowRight")
    assert verdict(page) == 1
    page.until(
        "document.querySelector('.unseen[role=status]').textContent.startsWith('It reads 1')",
        "the verdict to be told to screen readers",
    )


def test_strokes_can_be_taken_back_and_a_blank_pad_has_no_answer(
    trained: Server, new_page: OpenTab
) -> None:
    page = new_page(trained).open()
    draw_with_mouse(page, SEVEN)
    assert verdict(page) == 7
    address = page.js("location.hash")
    draw_with_mouse(page, [(0.2, 0.9), (0.8, 0.9)])
    assert page.js("location.hash") != address
    page.tab.keyboard.press("u")
    assert page.js("location.hash") == address
    page.tab.keyboard.press("Escape")
    page.until("!document.querySelector('.verdict strong')", "the answer to go")
    assert page.text(".verdict") == "Nothing to read yet."
    assert bars(page) == [0.0] * 10
    page.tab.keyboard.press("u")
    assert verdict(page) == 7
    assert page.js("location.hash") == address


def test_an_address_carries_the_drawing(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open()
    draw_with_mouse(page, SEVEN)
    settle(page)
    address = page.js("location.hash")
    assert len(re.findall("ink=([^&]+)", address)[0]) < 80
    other = new_page(trained).open(f"/{address}")
    verdict(other)
    assert bars(other) == bars(page)
    assert other.js("location.hash") == address


@pytest.mark.parametrize("busy", [0, 1])
def test_one_question_is_under_way_and_a_server_that_trains_is_asked_less(
    trained: Server, new_page: OpenTab, busy: int
) -> None:
    page = new_page(trained).open()
    system = {**trained.http.get("/v1/system").json(), "slots": {"total": 1, "busy": busy}}
    page.js(
        "data => new BroadcastChannel('mlp-stream').postMessage({ kind: 'system', data })", system
    )
    open_now: set[Any] = set()
    most, began = 0, []

    def begin(request: Any) -> None:
        nonlocal most
        if "/predict" in request.url:
            open_now.add(request)
            began.append(request.timing["startTime"])
            most = max(most, len(open_now))

    page.tab.on("request", begin)
    page.tab.on("requestfinished", lambda request: open_now.discard(request))
    for _ in range(40):
        draw_with_mouse(page, SEVEN)
        if len(began) > 30:
            break
    settle(page)
    assert most == 1
    asked, answered = np.array(page.js(ASKED)).T
    gaps = np.diff(asked)
    assert len(gaps) > 20
    slowly = 1000 / 15 - TICK
    if busy:
        assert gaps.min() > slowly
    else:
        rests = asked[1:] - answered[:-1]
        took = answered[:-1] - asked[:-1]
        assert ((rests > took - TICK) | (gaps > slowly)).all(), "half of the time at most"
        assert gaps.min() < slowly or took.min() > 1000 / 30


TICK = 2
"""Timers of browsers count whole milliseconds, so that they may be early by one and a little."""
ASKED = """performance.getEntriesByType('resource')
  .filter((each) => each.name.includes('/predict'))
  .map((each) => [each.startTime, each.responseEnd])"""


def test_nothing_is_asked_while_nothing_changes(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open()
    draw_with_mouse(page, SEVEN)
    settle(page)
    before = len(page.requests)
    page.tab.wait_for_timeout(5000)
    assert page.requests[before:] == []


# --- Reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reader", "linear"])
def test_the_picture_of_reasons_is_blue_for_and_red_against(
    trained: Server, new_page: OpenTab, name: str
) -> None:
    page = new_page(trained).open(f"/#jobs={_id(trained, name)}&pad=test:0")
    page.tab.locator(".pad").focus()
    assert verdict(page) == 7
    page.tab.keyboard.press("2")
    page.until("document.querySelector('.eye').innerText.includes('why 7, not 2')", "the rival 2")
    expected = _asked(trained, _sample(0), name, against=2)["contributions"]
    assert expected["exact"]
    found = np.array(pixels(page, 1))
    strong = np.abs(expected["pixels"]) > 0.1 * np.max(np.abs(expected["pixels"]))
    is_blue = found[:, 2] > found[:, 0]
    np.testing.assert_array_equal(is_blue[strong], (np.array(expected["pixels"]) > 0)[strong])
    page.tab.get_by_role("button", name=re.compile("^2:")).click()
    page.until("!location.hash.includes('rival')", "the rival to be chosen by itself again")


def test_a_unit_under_the_pointer_shows_its_arithmetic(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open("/#pad=test:0")
    verdict(page)
    expected = _asked(trained, _sample(0), "reader")
    strongest = int(np.argmax(np.abs(expected["votes"])))
    page.until("document.querySelector('.thought').ariaLabel.includes('unit')", "the units")
    box = page.tab.locator(".thought").bounding_box()
    assert box
    columns, step = 8, box["width"] / 8  # 32 units fill the area in four rows
    x, y = (strongest % columns + 0.5) * step, (strongest // columns + 0.5) * step
    page.tab.mouse.move(box["x"] + x, box["y"] + y)
    page.until("document.querySelector('.enlarged')", "the unit enlarged")
    output, vote = expected["activations"][0][strongest], expected["votes"][strongest]
    words = page.text(".enlarged").replace("\u2212", "-")
    assert words.startswith(
        f"unit {strongest} {output:.2f} \u00d7 {vote / output:.2f} = {vote:.2f}"
    )


def test_two_networks_are_asked_about_the_same_digit(trained: Server, new_page: OpenTab) -> None:
    names = ["reader", "linear"]
    digits = {"inputs": [{"dataset": "mnist", "split": "test", "index": at} for at in range(60)]}
    answers = {}
    for name in names:
        answer = trained.http.post(f"/v1/models/{_id(trained, name)}/predict", json=digits)
        answers[name] = [each["label"] for each in answer.json()["predictions"]]
    sample = "/v1/datasets/mnist/test/{}.json"
    truths = [trained.http.get(sample.format(at)).json()["label"] for at in range(60)]
    index = next(
        at
        for at, truth in enumerate(truths)
        if answers["reader"][at] == truth != answers["linear"][at]
    )
    ids = ",".join(_id(trained, name) for name in names)
    page = new_page(trained).open(f"/#jobs={ids}&pad=test:{index}")
    page.until("document.querySelectorAll('.bars data').length === 20", "bars in pairs")
    read, other, truth = answers["reader"][index], answers["linear"][index], truths[index]
    expected = f"reader reads {read}, linear reads {other}. It is a {truth}: reader is right."
    page.until("document.querySelector('.verdict p')", "the sentence")
    assert page.text(".verdict p") == expected
    pairs = np.reshape(bars(page), (10, 2)).T
    for name, found in zip(names, pairs, strict=True):
        shown = _asked(trained, _sample(index), name)["probabilities"]
        np.testing.assert_allclose(found, shown, atol=1e-6)


# --- Pictures of others ---------------------------------------------------------------------------


def _picture(server: Server, index: int) -> bytes:
    return server.http.get(f"/v1/datasets/mnist/test/{index}.png").content


GIVE = """([kind, base64, type]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], 'digit', { type }));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: carried, bubbles: true, cancelable: true })
    : new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true });
  document.querySelector('.lab').dispatchEvent(event);
}"""


def test_pictures_can_be_pasted_dropped_and_uploaded(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open()
    screenshot = Image.open(io.BytesIO(_picture(trained, 0))).resize((640, 640)).convert("RGB")
    written = io.BytesIO()
    screenshot.save(written, "PNG")
    page.js(GIVE, ["paste", base64.b64encode(written.getvalue()).decode(), "image/png"])
    assert verdict(page) == 7

    photo = Image.eval(Image.open(io.BytesIO(_picture(trained, 2))).resize((400, 400)), _inverted)
    written = io.BytesIO()
    photo.save(written, "JPEG")
    page.js(GIVE, ["drop", base64.b64encode(written.getvalue()).decode(), "image/jpeg"])
    page.until("document.querySelector('.verdict strong').textContent === '1'", "the 1 to be read")
    assert "inverted" in page.text(".eye figcaption")


def _inverted(grey: int) -> int:
    return 255 - grey


def test_an_upload_that_is_no_picture_is_refused_in_the_words_of_the_server(
    trained: Server, new_page: OpenTab
) -> None:
    page = new_page(trained).open()
    page.expect("422")
    noise = np.random.default_rng(1).integers(0, 256, 5_000_000, np.uint8).tobytes()
    with page.tab.expect_file_chooser() as chooser:
        page.tab.get_by_role("button", name="Upload").click()
    chooser.value.set_files({"name": "noise.png", "mimeType": "image/png", "buffer": noise})
    answer = trained.http.post(
        f"/v1/models/{_id(trained, 'reader')}/predict",
        content=noise,
        headers={"Content-Type": "image/png"},
    )
    page.until("document.querySelector('.verdict p').textContent.length > 30", "the refusal")
    assert page.text(".verdict") == " ".join(answer.json()["detail"].split())
    assert bars(page) == [0.0] * 10


def test_a_test_digit_comes_at_the_press_of_a_key(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open()
    page.tab.keyboard.press("r")
    found = verdict(page)
    [index] = re.findall(r"pad=test:(\d+)", page.js("location.hash"))
    expected = _asked(trained, _sample(int(index)), "reader")
    assert found == expected["label"]
    assert bars(page) == pytest.approx(expected["probabilities"], abs=1e-6)


def test_a_test_digit_can_be_drawn_over(trained: Server, new_page: OpenTab) -> None:
    page = new_page(trained).open("/#pad=test:1")
    verdict(page)
    digit = _asked(trained, _sample(1), "reader")
    draw_with_mouse(page, [(0.1, 0.12), (0.1, 0.88)])
    verdict(page)
    drawn = _asked(trained, copied_picture(page), "reader")
    assert "ink=" in page.js("location.hash")
    assert "pad=test:1" in page.js("location.hash")
    assert drawn["input"]["pixels"] != digit["input"]["pixels"]
    assert bars(page) == pytest.approx(drawn["probabilities"], abs=1e-6)
    page.tab.get_by_role("button", name="Undo").click()
    verdict(page)
    assert bars(page) == pytest.approx(digit["probabilities"], abs=1e-6)
