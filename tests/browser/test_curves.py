"""The curves: zoom, comparison, thinning, and what drawing costs."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service.store.attempts import FAILED
from service.store.sql.database import Database
from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage, processor_clock
from tests.support.job_records import BAD, epoch, started
from tests.support.server_process import Server, eventually

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect

MODULE = "import(`${document.documentElement.dataset.web}/%s.js`)"
PICTURE = "[...document.querySelectorAll('.plot canvas')].map((canvas) => canvas.toDataURL())"
EPOCHS = "parseInt(document.querySelector('.facts div:nth-child(3) dd')?.innerText)"


def with_epochs(server: Server, count: int, **spec: Any) -> str:
    """A job whose epochs are in the database, each better than the one before."""
    attempt = started(Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}"), **spec)
    seed = spec.get("seed", 1)
    measured = [
        epoch(n, loss=0.5 / n + seed / 100, accuracy=0.99 - 0.1 / n) for n in range(1, count + 1)
    ]
    attempt.end(FAILED, BAD, None, measured)
    return attempt.job


def plot(page: WatchedPage) -> "FloatRect":
    box = page.tab.locator(".plot .u-over").first.bounding_box()
    assert box
    return box


def choose(page: WatchedPage, ids: Iterable[str]) -> None:
    page.js("ids => { location.hash = `jobs=${ids.join(',')}` }", list(ids))
    page.until("document.querySelector('.plot canvas')", "the curves")
    page.tab.wait_for_timeout(500)


def test_a_zoomed_view_stays_to_the_pixel_while_epochs_arrive_and_follows_again(
    page: WatchedPage, server: Server
) -> None:
    server.http.post("/v1/jobs", json={**SMALL, "epochs": 2000})
    page.open()
    page.until(f"{EPOCHS} >= 12", "twelve epochs", 60)
    box = plot(page)
    mouse = page.tab.mouse
    mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    mouse.down()
    mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60, steps=5)
    mouse.up()
    mouse.move(700, 20)
    page.until("/zoom=\\d+-\\d+/.test(location.hash)", "the zoom in the address")
    zoom = re.search(r"zoom=(\d+)-(\d+)", page.js("location.hash"))
    assert zoom
    assert 1 < int(zoom[1]) < int(zoom[2]) <= 12
    page.tab.wait_for_timeout(400)
    before, seen = page.js(PICTURE), page.js(EPOCHS)

    page.until(f"{EPOCHS} >= {seen + 10}", "ten more epochs", 60)
    assert page.js(PICTURE) == before
    assert zoom[0] in page.js("location.hash")

    page.tab.locator(".chart").first.get_by_role("button", name="follow").click()
    page.until("!location.hash.includes('zoom')", "the whole")
    page.tab.wait_for_timeout(400)
    assert page.js(PICTURE) != before


def test_four_jobs_are_compared_by_exactly_what_differs(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    specs: Sequence[dict[str, Any]] = (
        {"name": "plain"},
        {"name": "tanh", "activation": "tanh"},
        {"name": "momentum", "optimizer": {"type": "sgd", "momentum": 0.9}},
        {"name": "wider", "hidden": [32]},
    )
    ids = [with_epochs(still_server, 8, **{**SMALL, **spec, "seed": 7}) for spec in specs]
    page = new_page(still_server).open()
    choose(page, ids)
    page.until("document.querySelectorAll('.compare tbody tr').length === 4", "the table")

    headings = page.tab.locator(".compare thead th").all_inner_texts()
    assert headings[:5] == ["job", "best", "last", "test loss", "time"]
    assert sorted(headings[5:]) == ["activation", "hidden", "optimizer momentum"]
    assert page.tab.locator(".compare tbody th").all_inner_texts() == [s["name"] for s in specs]
    legend = page.tab.locator(".legend:not(.lead) span").all_inner_texts()
    assert [words.strip() for words in legend] == [*(s["name"] for s in specs), "test", "train"]
    assert page.text(".legend.lead") == "The slider and the tabs show plain"

    marked = "document.querySelector('.job.marked .open')?.innerText"
    for step in range(60):
        box = plot(page)
        page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 3 * step)
        if page.js(marked):
            break
    name = page.js(marked)
    assert name in [spec["name"] for spec in specs]
    reading = page.text(".chart .reading")
    assert re.fullmatch(rf"epoch \d test 0\.\d+ train 0\.\d+ · {name}", reading)
    assert page.js("document.querySelector('.compare tr.marked th').innerText") == name


def test_the_axis_of_errors_tells_good_networks_apart(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    ids = [with_epochs(still_server, 8, **{**SMALL, "seed": seed}) for seed in (1, 2)]
    page = new_page(still_server).open()
    choose(page, ids)
    before = page.js(PICTURE)
    page.tab.keyboard.press("e")
    page.until("location.hash.includes('y=error')", "the address")
    assert page.tab.get_by_role("heading", name="Error (%)").is_visible()
    page.tab.keyboard.press("l")
    page.until("location.hash.includes('log=0')", "the address")
    page.tab.wait_for_timeout(300)
    after = page.js(PICTURE)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_curves_are_read_epoch_by_epoch_with_the_keyboard(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    with_epochs(still_server, 8, **SMALL)
    page = new_page(still_server).open()
    page.until("document.querySelector('.plot canvas')", "the curves")
    page.tab.locator(".plot").first.focus()
    page.tab.keyboard.press("ArrowLeft")
    news = "document.querySelector('.unseen[role=status]').innerText"
    page.until(f"{news}.includes('epoch 8')", "epoch 8 to be said")
    page.tab.keyboard.press("ArrowLeft")
    page.until(f"{news}.includes('epoch 7')", "epoch 7 to be said")
    assert page.js(news) == "epoch 7 test 0.08143 train 0.08143"
    page.tab.keyboard.press("+")
    page.until("location.hash.includes('zoom=')", "the zoom")
    page.tab.get_by_role("button", name="as table").click()
    page.until("document.querySelectorAll('.numbers tbody tr').length === 8", "the table")
    assert page.text(".numbers tbody tr") == "8 0.07250 0.07250 97.75 % 97.75 %"


def test_jobs_that_differ_in_their_seed_alone_have_a_mean(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    ids = [with_epochs(still_server, 4, **{**SMALL, "seed": seed}) for seed in (1, 2, 4)]
    page = new_page(still_server).open()
    choose(page, ids)
    lines = page.js(
        f"""async () => {{
          const {{ linesOf }} = await {MODULE % "curves/plot"};
          return linesOf('loss').map(({{ part, values }}) => [part, values[1]]);
        }}"""
    )
    parts = [part for part, _ in lines]
    assert parts == ["test"] * 3 + ["low", "high", "mean"]
    assert [round(value, 6) for _, value in lines] == [0.26, 0.27, 0.29, 0.26, 0.29, 0.273333]


@pytest.mark.parametrize("seed", range(5))
def test_thinned_curves_keep_the_lowest_and_the_highest_of_each_bucket(
    page: WatchedPage, seed: int
) -> None:
    """Each bucket is looked up in the whole curve, by another program; curves grow by pieces."""
    draw = random.Random(seed)
    page.open()
    for _ in range(20):
        epochs = sorted(draw.sample(range(1, 3000), draw.randint(1, 1500)))
        values = [round(draw.uniform(0, 1), 6) for _ in epochs]
        first, each = draw.randint(1, 2000), 2 ** draw.randint(0, 6)
        buckets = draw.randint(1, 300)
        pieces = sorted(draw.choices(range(len(epochs)), k=draw.randint(0, 3)))
        thinned = page.js(GROWN, [epochs, values, first, each, buckets, pieces])
        points = 1 if each == 1 else 2
        assert len(thinned) == points * buckets
        for bucket in range(buckets):
            start = first + bucket * each
            inside = [v for e, v in zip(epochs, values, strict=True) if start <= e < start + each]
            shown = thinned[points * bucket : points * (bucket + 1)]
            if not inside:
                assert shown == [None] * points
            else:
                assert {min(shown), max(shown)} == {min(inside), max(inside)}
                ordered = [v for v in inside if v in (min(inside), max(inside))]
                assert shown[0] == ordered[0] or min(inside) == max(inside)


GROWN = f"""async ([epochs, values, first, each, count, pieces]) => {{
  const {{ thinned }} = await {MODULE % "curves/thinning"};
  const same = {{ name: 'same', of: (value) => value }};
  const [grownEpochs, grownValues] = [[], []];
  for (const end of [...pieces, epochs.length]) {{
    grownEpochs.push(...epochs.slice(grownEpochs.length, end));
    grownValues.push(...values.slice(grownValues.length, end));
    thinned(grownEpochs, grownValues, {{ first, each, count }}, same);
  }}
  return thinned(grownEpochs, grownValues, {{ first, each, count }}, same);
}}"""
"""Thins a curve again and again, while it grows."""


# --- A crowd --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterable[Server]:
    """50 jobs with 1000 epochs each."""
    server = Server(tmp_path_factory.mktemp("crowd"), datasets_dir, MLP_CONCURRENT_JOBS="0").start()
    database = Database(f"sqlite:///{server.data_dir / 'jobs.sqlite3'}")
    for number in range(50):
        draw = random.Random(number)
        attempt = started(database, hidden=[16 + number], epochs=1000, name=f"crowd {number}")
        measured = [
            epoch(n, loss=(0.3 + draw.random() / 10) / n**0.3, accuracy=0.9 + draw.random() / 20)
            for n in range(1, 1001)
        ]
        attempt.end(FAILED, BAD, None, measured)
    yield server
    server.stop()


def test_fifty_jobs_with_a_thousand_epochs_are_drawn_within_the_budget(
    new_page: Callable[[Server], WatchedPage], crowd: Server
) -> None:
    page = new_page(crowd).open()
    ids = [each["id"] for each in crowd.http.get("/v1/jobs?limit=50").json()["data"]]
    choose(page, ids)
    page.until("document.querySelector('.plot[aria-label*=\"crowd\"] canvas')", "the curves", 60)
    page.tab.wait_for_timeout(1500)

    processor_ms = processor_clock(page, "TaskDuration")
    rounds = 15
    costs, loops = [], []
    for number in range(1, rounds + 1):
        before = processor_ms()
        page.js(FIXED_WORK)
        loops.append(processor_ms() - before)
        before = processor_ms()
        assert page.js(NEWS, [ids, number]) == 1, "50 epochs at once are one redraw"
        costs.append(processor_ms() - before)
    assert sorted(costs)[rounds // 2] <= CROWD_BUDGET * sorted(loops)[rounds // 2], (costs, loops)
    lines = page.js(
        f"async () => (await {MODULE % 'curves/plot'}).linesOf('loss').map(({{part}}) => part)"
    )
    assert lines == ["test"] * 50


def test_what_news_leaves_as_it_was_looks_as_if_all_had_been_drawn_again(
    new_page: Callable[[Server], WatchedPage], crowd: Server
) -> None:
    """Some jobs go on and others do not; their curves are thinned, marked and crossed out."""
    page = new_page(crowd).open()
    ids = [each["id"] for each in crowd.http.get("/v1/jobs?limit=50").json()["data"]]
    choose(page, ids)
    page.until("document.querySelector('.plot[aria-label*=\"crowd\"] canvas')", "the curves", 60)
    page.tab.wait_for_timeout(1500)
    draw = random.Random(7)
    for number in range(1, 7):
        before = page.js(PICTURE)
        page.js(NEWS, [draw.sample(ids, 20) if number % 2 else ids, number])
        pictures = page.js(PICTURE)
        assert pictures[0] != before[0]
        for _ in range(2):
            page.tab.keyboard.press("l")
            page.tab.keyboard.press("e")
            page.tab.wait_for_timeout(100)
        assert page.js(PICTURE) == pictures, f"round {number}"


NEWS = f"""async ([ids, number]) => {{
  const epochs = await {MODULE % "epochs"};
  const before = epochs.drawn.value;
  for (const [index, id] of ids.entries()) {{
    const wave = Math.sin(7 * index + 3 * number);
    const [loss, accuracy] = [0.045 + 0.005 * wave, 0.92 + 0.02 * wave];
    const epoch = epochs.epochs.get(id).of + 1;
    const losses = {{ train_loss: loss, test_loss: loss }};
    const accuracies = {{ train_accuracy: accuracy, test_accuracy: accuracy }};
    epochs.addEpoch(id, {{ epoch, seconds: 1, ...losses, ...accuracies }});
  }}
  await new Promise((resolve) => setTimeout(resolve, 600));
  return epochs.drawn.value - before;
}}"""
"""Another epoch of each job, with values among those of the others."""
CROWD_BUDGET = 0.32
"""Times the fixed work, which a core that others share slows down as well: 0.22 were measured.

Both charts are drawn with 50 rows of the list and the table of 50 jobs.
"""
FIXED_WORK = """() => {
  const numbers = Array.from({ length: 200000 }, (_, n) => Math.sin(n));
  return numbers.sort((a, b) => a - b).length;
}"""


def test_only_chosen_jobs_that_fit_are_read_and_the_best_is_named(
    new_page: Callable[[Server], WatchedPage], still_server: Server
) -> None:
    ids = [with_epochs(still_server, 4, **{**SMALL, "hidden": [n]}) for n in range(8, 20)]
    page = new_page(still_server).open()
    choose(page, ids)
    page.until("document.querySelectorAll('.compare tbody tr').length === 12", "the table")
    markers = page.js(
        "[...document.querySelectorAll('.compare tbody th')].map((th) => th.innerText)"
    )
    assert all("●" not in words for words in markers[:6])
    assert all("●" in words for words in markers[6:])
    eventually(lambda: page.js("document.querySelectorAll('.job.chosen').length") == 12, "the rows")
