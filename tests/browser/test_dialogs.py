"""The dialog for a new job, the snippets, the drawer of API calls, and the help."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.browser.conftest import SMALL
from tests.support.browser import WatchedPage
from tests.support.server_process import Server, eventually

DIALOG = "dialog[aria-label='New job']"
TRAIN = f'document.querySelector("{DIALOG} .finish .primary")'


def open_new_job(page: WatchedPage) -> None:
    page.open()
    page.tab.keyboard.press("n")
    page.until(f"{TRAIN} && !{TRAIN}.disabled", "the dialog with a valid spec")


def snippet(page: WatchedPage, form: str) -> str:
    page.tab.locator(f"{DIALOG} .forms button", has_text=form).click()
    return page.tab.locator(f"{DIALOG} .snippets pre").inner_text()


def run(command: list[str], directory: Path) -> str:
    """Run a command as somebody who has pasted it, and return what it prints."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resolved_spec(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"])


def test_a_wrong_field_is_named_in_the_words_of_the_server(
    page: WatchedPage, server: Server
) -> None:
    open_new_job(page)
    page.tab.get_by_label("Learning rate", exact=True).fill("-1")
    page.until(f"{TRAIN}.disabled", "the button to be off")
    page.until("document.querySelector('[id=\"field-learning_rate-problem\"]')", "the problem")
    refused = server.http.post("/v1/jobs", json={"learning_rate": -1})
    assert refused.status_code == 422
    [problem] = refused.json()["errors"]
    assert problem["detail"] in page.text('[id="field-learning_rate-problem"]')
    assert page.js("document.getElementById('field-learning_rate').ariaInvalid") == "true"
    page.tab.get_by_label("Learning rate", exact=True).fill("0.05")
    page.until(f"!{TRAIN}.disabled", "the button to be on again")
    assert page.js("document.querySelector('[id=\"field-learning_rate-problem\"]')") is None


def test_the_way_out_of_a_problem_is_a_button(page: WatchedPage, server: Server) -> None:
    open_new_job(page)
    page.tab.get_by_label("Units of hidden layer 1").fill("9000")
    page.until(f"{TRAIN}.disabled", "the button to be off")
    page.tab.locator("#field-hidden-problem button").click()
    page.until(f"!{TRAIN}.disabled", "the button to be on again")
    most = server.http.get("/v1/system").json()["limits"]["width"]
    assert page.tab.get_by_label("Units of hidden layer 1").input_value() == str(most)


def test_every_snippet_of_a_new_job_makes_the_job_that_the_dialog_shows(
    page: WatchedPage, server: Server, tmp_path: Path
) -> None:
    open_new_job(page)
    page.tab.get_by_label("Name", exact=True).fill('it\'s "quoted" $HOME')
    page.tab.get_by_label("Epochs", exact=True).fill("1")
    page.tab.get_by_label("Units of hidden layer 1").fill("8")
    page.until(f"!{TRAIN}.disabled", "the draft to be right")
    shell, python, httpie = (snippet(page, form) for form in ("curl", "Python", "HTTPie"))
    made = [json.loads(run(["bash", "-c", shell], tmp_path))]
    made.append(json.loads(run([".venv/bin/python", "-c", python], Path.cwd())))
    made.append(json.loads(run(["bash", "-c", f"PATH=$PWD/.venv/bin:$PATH; {httpie}"], Path.cwd())))
    page.tab.locator(f"{DIALOG} .finish .primary").click()
    page.until("!document.querySelector('dialog')", "the dialog to close")
    newest = server.http.get("/v1/jobs?limit=1").json()["data"][0]
    assert newest["id"] not in [job["id"] for job in made]
    assert newest["spec"]["name"] == 'it\'s "quoted" $HOME'
    for job in made:
        assert resolved_spec(job) == resolved_spec(newest)


def test_a_double_click_on_train_makes_one_job(page: WatchedPage, server: Server) -> None:
    open_new_job(page)
    page.tab.get_by_label("Epochs", exact=True).fill("1")
    page.until(f"!{TRAIN}.disabled", "the draft to be right")
    page.tab.locator(f"{DIALOG} .finish .primary").dblclick()
    page.until("!document.querySelector('dialog')", "the dialog to close")
    assert len(server.http.get("/v1/jobs").json()["data"]) == 1


def test_everything_that_a_spec_can_say_can_be_said(page: WatchedPage, server: Server) -> None:
    open_new_job(page)
    page.tab.locator(f"{DIALOG} summary").click()
    page.tab.get_by_label("Optimizer", exact=True).select_option("adamw")
    page.tab.get_by_label("Weight decay").fill("0.02")
    page.tab.get_by_label("Beta 1", exact=True).fill("0.8")
    page.tab.get_by_label("Beta 2", exact=True).fill("0.9")
    page.tab.get_by_label("Learning-rate schedule").select_option("cosine")
    page.tab.get_by_label("Initial weights").select_option("glorot_uniform")
    page.tab.get_by_label("Initial biases").fill("0")
    page.tab.get_by_label("Deform the digits").check()
    page.tab.get_by_label("Rotation (degrees)").fill("5")
    page.tab.get_by_label("Tags, with commas between them").fill("one, two")
    page.tab.get_by_label("Notes, one").fill("why: to see")
    page.tab.get_by_label("Activation", exact=True).select_option("tanh")
    page.tab.get_by_label("Batch size").fill("128")
    page.tab.get_by_label("Seed", exact=True).fill("7")
    page.tab.get_by_role("button", name="+ layer").click()
    page.tab.get_by_label("Units of hidden layer 2").fill("32")
    page.tab.get_by_label("Epochs", exact=True).fill("2")
    page.tab.wait_for_timeout(300)
    page.until(f"!{TRAIN}.disabled", "the draft to be right")
    page.tab.locator(f"{DIALOG} .finish .primary").click()
    page.until("!document.querySelector('dialog')", "the dialog to close")
    [job] = server.http.get("/v1/jobs").json()["data"]
    spec = job["spec"]
    assert spec["optimizer"] == {
        "type": "adamw", "weight_decay": 0.02, "beta1": 0.8, "beta2": 0.9,
    }  # fmt: skip
    assert (spec["schedule"], spec["initialization"]) == ("cosine", "glorot_uniform")
    assert (spec["initial_bias"], spec["activation"], spec["seed"]) == (0, "tanh", 7)
    assert spec["augmentation"]["rotation"] == 5
    assert (spec["tags"], spec["metadata"]) == (["one", "two"], {"why": "to see"})
    assert (spec["hidden"], spec["batch_size"], spec["epochs"]) == ([128, 32], 128, 2)
    assert spec["learning_rate"] == 0.001  # the default of AdamW


def test_every_field_of_a_spec_has_its_place_in_the_dialog() -> None:
    from mlp_client.job_spec import AdamW, Augmentation, Sgd, Spec

    source = Path("service/web/new_job/fields.js").read_text()
    shown = set(re.findall(r'path: "([\w.]+)"', source))
    wanted = set(Spec.model_fields) - {"preset", "hidden", "optimizer"}  # cards, chips, and a group
    wanted |= {f"optimizer.{name}" for name in (*Sgd.model_fields, *AdamW.model_fields)}
    wanted |= {f"augmentation.{name}" for name in Augmentation.model_fields}
    assert shown == wanted


def test_the_drawer_lists_exactly_the_requests_of_the_page(
    page: WatchedPage, server: Server
) -> None:
    job = server.http.post("/v1/jobs", json=SMALL).json()["id"]
    eventually(lambda: server.http.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", "the job")
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(1000)
    page.tab.keyboard.press("`")
    page.until("document.querySelector('.calls li')", "the drawer")
    lines = page.js("[...document.querySelectorAll('.calls code')].map((line) => line.textContent)")
    listed = []
    for line in lines:
        method = re.search(r"-X (\w+)", line)
        address = re.findall(r"'http://[^/']+(/[^']*)'", line)[-1]
        default = "POST" if "--json" in line or "--data-binary" in line else "GET"
        listed.append(f"{method[1] if method else default} {address}")
    made = [
        request
        for request in page.requests
        if " /v1/" in request and not request.startswith(("GET /v1/events", "GET /v1/system"))
    ]
    pictures = re.compile(r"\.(png|svg|webp)")
    assert sorted(listed) == sorted(each for each in made if not pictures.search(each))


def test_the_help_lists_every_key_and_switches_them_off(page: WatchedPage, server: Server) -> None:
    server.http.post("/v1/jobs", json=SMALL).raise_for_status()
    page.open()
    page.until("document.querySelector('.facts')", "the job's figures")
    page.tab.wait_for_timeout(1000)
    page.tab.keyboard.press("?")
    page.until("document.querySelector('dialog[aria-label=Keyboard]')", "the help")
    listed = page.js("[...document.querySelectorAll('dialog kbd')].map((key) => key.textContent)")
    named = "1 2 3 w m s d l e f [ ] space g r u Esc . ` t ?"
    for key in f"n / j k x p c a Del {named}".split():
        assert key in listed
    page.tab.get_by_label("Single keys work outside fields").uncheck()
    page.tab.keyboard.press("Escape")
    page.until("!document.querySelector('dialog')", "the help to close")
    page.tab.keyboard.press("n")
    page.tab.wait_for_timeout(300)
    assert page.js("document.querySelector('dialog')") is None
    page.tab.reload()
    page.until("document.querySelector('.connection.live')", "the page to be live")
    page.tab.keyboard.press("n")
    page.tab.wait_for_timeout(300)
    assert page.js("document.querySelector('dialog')") is None
