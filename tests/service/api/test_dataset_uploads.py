"""Data sets over HTTP: sent, checked, downloaded, refused, cut off and deleted."""

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from service.serve import prepare
from service.server.stack import connection_protocol
from service.work import verification
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, connection_to, final, head, left_behind, names, put
from tests.support.live_service import Live, settings
from tests.support.server_process import eventually


@pytest.fixture(scope="module")
def sets_dir(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Path:
    return small_uploads.with_shipped(tmp_path_factory.mktemp("sets") / "sets", datasets_dir)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sets_dir: Path) -> Iterator[Live]:
    """A service that trains nothing, behind the real protocol of connections."""
    made = settings(tmp_path_factory.mktemp("uploads"), sets_dir, max_owner_datasets=100)
    prepare(made)
    with Live(made, http=connection_protocol) as live:
        yield live


# --- What becomes of files ---


def test_an_array_becomes_a_data_set_and_comes_back_as_it_was(service: Live) -> None:
    sent = small_uploads.npz(seed=1)
    answer = put(service, "arrays", sent, description="Three shapes")
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{SETS}/arrays"
    assert answer.json()["upload_bytes"] == len(sent)
    found = final(service, "arrays")
    assert (found["state"], found["shape"], found["input"]) == ("ready", [12, 12], "image")
    assert (found["train_rows"], found["test_rows"]) == (120, 30)
    assert (found["classes"], found["description"]) == (list(small_uploads.CLASSES), "Three shapes")
    assert found["class_counts"]["test"] == [10, 10, 10]
    before = np.load(io.BytesIO(sent))
    for split in ("train", "test"):
        arrays = service.http.get(f"{SETS}/arrays/{split}.npz").content
        after = np.load(io.BytesIO(arrays))
        for name in (f"x_{split}", f"y_{split}"):
            np.testing.assert_array_equal(after[name], before[name])
    sheet = service.http.get(f"{SETS}/arrays/samples.png?split=train&limit=9")
    assert sheet.content.startswith(b"\x89PNG")
    sample = service.http.get(f"{SETS}/arrays/test/4.json").json()
    assert (sample["label"], sample["name"]) == (1, "cross")
    assert sample["pixels"] == before["x_test"][4].tolist()
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


def test_the_same_pictures_have_the_same_digest_in_every_form(service: Live) -> None:
    put(service, "packed", small_uploads.npz(seed=2))
    files = [("file", (name, data)) for name, data in small_uploads.idx_files(seed=2)]
    options = json.dumps({"classes": list(small_uploads.CLASSES)})
    form = {"name": "four-files", "options": options}
    answer = service.http.post(SETS, data=form, files=files)
    assert answer.status_code == 201, answer.text
    first, second = final(service, "packed"), final(service, "four-files")
    assert first["state"] == second["state"] == "ready", (first["reason"], second["reason"])
    assert first["sha256"] == second["sha256"]
    assert first["id"] != second["id"]


def test_a_zip_of_folders_becomes_a_data_set_with_a_report(service: Live) -> None:
    put(service, "shapes", small_uploads.folders(), test=0.25, seed=3, size="12")
    found = final(service, "shapes")
    assert found["state"] == "ready", found["reason"]
    assert (found["classes"], found["test_rows"]) == (list(small_uploads.CLASSES), 15)
    assert found["options"]["split"] == {"test": 0.25, "seed": 3, "stratify": True}
    report = service.http.get(f"{SETS}/shapes/report").json()
    assert report["found"]["format"] == "zip"
    assert report["rows"] == {"train": 45, "test": 15}
    assert report["sha256"] == found["sha256"]
    assert report["errors"] == []


def test_columns_of_a_table_are_left_out_and_the_record_says_so(service: Live) -> None:
    lines = [f"{9 * row},p{row}.png,{row % 7},{row % 5}.5,{'ab'[row % 2]}" for row in range(40)]
    table = "\n".join(["id,filename,width,height,species", *lines]).encode()
    put(service, "with-names", table, input="vector")
    failed = final(service, "with-names")
    assert (failed["state"], failed["reason"]["code"]) == ("failed", "not_numbers")
    [error] = service.http.get(f"{SETS}/with-names/report").json()["errors"]
    assert error["hint"] == 'Leave it out with the option `ignore_columns`: ["filename"].'
    put(service, "with-names", table, input="vector", ignore_columns="id, filename")
    found = final(service, "with-names")
    assert (found["state"], found["shape"]) == ("ready", [2]), found["reason"]
    assert found["options"]["ignore_columns"] == ["id", "filename"]
    report = service.http.get(f"{SETS}/with-names/report").json()
    assert report["found"]["ignored_columns"] == ["id", "filename"]


def test_columns_are_left_out_of_a_table_as_the_refusal_advises(service: Live) -> None:
    lines = [f"p{row}.png,{row % 7},{row % 5}.5,{'ab'[row % 2]}" for row in range(40)]
    table = "\n".join(['"file, name",width,height,species', *lines]).encode()
    put(service, "with-commas", table, input="vector")
    final(service, "with-commas")
    [error] = service.http.get(f"{SETS}/with-commas/report").json()["errors"]
    advised = error["hint"].partition("`ignore_columns`: ")[2].rstrip(".")
    assert advised == '["file, name"]'
    put(service, "with-commas", table, input="vector", ignore_columns=advised)
    found = final(service, "with-commas")
    assert (found["state"], found["shape"]) == ("ready", [2]), found["reason"]
    assert found["options"]["ignore_columns"] == ["file, name"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("[id, filename]", "can't be read as JSON"),
        ("[7]", "must be text"),
        ('["a"', "read as JSON"),
    ],
)
def test_columns_that_are_no_list_of_names_are_refused(
    service: Live, columns: str, said: str
) -> None:
    answer = put(service, "with-brackets", b"a,b\n1,2\n", ignore_columns=columns)
    check_problem(answer, 422)
    [error] = answer.json()["errors"]
    assert "ignore_columns" in (error["pointer"] or "") + (error.get("parameter") or "")
    assert said in error["detail"]


@pytest.mark.parametrize("file", ["test.images.npy", "manifest.json"])
@pytest.mark.parametrize("is_read", [False, True], ids=["at once", "after a read"])
def test_damage_that_nobody_has_noticed_is_mended_by_the_same_file(
    service: Live, file: str, is_read: bool
) -> None:
    name, sent = f"fragile-{file[:4]}-{is_read}".lower(), small_uploads.npz(seed=len(file))
    put(service, name, sent)
    found = final(service, name)
    folder = service.app.state.components.services.datasets.files.folder(found["sha256"])
    (folder / file).unlink()
    if file == "manifest.json":
        (folder / file).touch()
    if is_read:
        refused = service.http.get(f"{SETS}/{name}/test/0.png")
        check_problem(refused, 409)
        assert refused.json()["code"] == "dataset-damaged"
        assert service.http.get(f"{SETS}/{name}").json()["reason"]["code"] == "files_damaged"
    again = put(service, name, sent)
    assert (again.status_code, again.json()["state"]) == (201, "queued")
    mended = final(service, name)
    assert (mended["state"], mended["sha256"]) == ("ready", found["sha256"])
    assert service.http.get(f"{SETS}/{name}/test/0.png").status_code == 200
    assert put(service, name, sent).status_code == 200


def test_a_file_that_is_no_data_set_fails_with_its_reason(service: Live) -> None:
    page = b"<!DOCTYPE html><html><title>Not found</title></html>"
    assert put(service, "page", page).status_code == 201
    found = final(service, "page")
    assert found["state"] == "failed"
    assert "web page" in found["reason"]["message"]
    [error] = service.http.get(f"{SETS}/page/report").json()["errors"]
    assert error["code"] == found["reason"]["code"]
    answer = service.http.post("/v1/jobs", json={"dataset": "page"})
    assert answer.status_code in (409, 422)
    eventually(lambda: not left_behind(service), "what was sent to be deleted")
    again = put(service, "page", small_uploads.npz(seed=3))
    assert again.status_code == 201, "a failed set makes room for another one"
    assert final(service, "page")["state"] == "ready"


# --- Repetitions and names ---


def test_a_file_that_is_sent_again_changes_nothing(service: Live) -> None:
    first = put(service, "again", small_uploads.npz(seed=4))
    second = put(service, "again", small_uploads.npz(seed=4))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    final(service, "again")
    assert put(service, "again", small_uploads.npz(seed=4)).status_code == 200
    other = small_uploads.npz(seed=5)
    for answer in (
        put(service, "again", other),
        put(service, "again", small_uploads.npz(seed=4), test=0.5),
        put(service, "mnist", other),
    ):
        check_problem(answer, 409)
        assert answer.json()["code"] == "dataset-exists"


def test_a_file_of_another_size_is_refused_before_it_is_sent(service: Live) -> None:
    put(service, "known", small_uploads.npz(seed=6))
    with connection_to(service) as connection:
        connection.sendall(head("known", 200_000_000, "Expect: 100-continue"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 409 "), answer[:200]
    assert b"connection: close" in answer.lower()


def test_a_client_that_asks_first_is_told_to_go_on(service: Live) -> None:
    sent = small_uploads.npz(seed=7)
    with connection_to(service) as connection:
        connection.sendall(head("polite", len(sent), "Expect: 100-continue"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(sent)
        assert b"HTTP/1.1 201 " in connection.recv(65536)


@pytest.mark.parametrize(
    ("name", "hint"), [("My%20Letters", "my-letters"), (".hidden", "hidden"), ("a" * 64, "a" * 63)]
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(
    service: Live, name: str, hint: str
) -> None:
    answer = put(service, name, b"x")
    check_problem(answer, 422)
    assert f"{hint!r} would do" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"tset": 0.2}, "?tset"),
        ({"test": 2}, "?test"),
        ({"size": "28x300"}, "?options/size/1"),
        ({"test": 0.2, "split": "given"}, "?split"),
        ({"options": "[]"}, "?options"),
        ({"options": '{"split": {"test": 2}}'}, "?options/split/test"),
        ({"options": '{"spilt": "given"}'}, "?options/spilt"),
    ],
)
def test_an_option_that_is_not_valid_is_named(
    service: Live, query: dict[str, Any], pointer: str
) -> None:
    answer = put(service, "optional", small_uploads.npz(), **query)
    check_problem(answer, 422)
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    assert "optional" not in names(service)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ('{"clases": ["a", "b"]}', "did you mean 'classes'?"),
        ('{"label": "paths"}', "did you mean 'path'?"),
        ('{"label": "species"}', 'for example {"column": "digit"} if that is the column of the'),
        ('{"split": "half"}', 'for example {"test": 0.2} to test on a fifth of the rows'),
    ],
)
def test_an_option_that_is_not_valid_has_a_hint(service: Live, options: str, hint: str) -> None:
    answer = put(service, "hinted", small_uploads.npz(), options=options)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["hint"].startswith(hint)


# --- Forms ---


def test_a_form_with_a_wrong_part_is_refused_and_leaves_nothing(service: Live) -> None:
    file = ("file", ("a.npz", small_uploads.npz(seed=8)))
    for data, files, detail in (
        ({"nmae": "form"}, [file], "'nmae'"),
        ({"name": "form"}, [], "no file"),
        ({"options": "{}"}, [file], "`name`"),
        ({"name": "form", "options": '{"size": 0}'}, [file], "#/options/size"),
        ({"name": "form"}, [file] * 9, "8 files"),
    ):
        parts: Any = files or [("name", (None, "form"))]
        answer = service.http.post(SETS, data=data if files else {}, files=parts)
        check_problem(answer, 422)
        assert detail in answer.json()["detail"], detail
    assert "form" not in names(service)


def test_bodies_of_other_kinds_are_refused(service: Live) -> None:
    check_problem(service.http.post(SETS, content=b"x", headers={"Content-Type": "a/b"}), 415)
    check_problem(service.http.post(SETS, json={"name": "x"}), 422)
    form = service.http.put(f"{SETS}/x", files={"file": b"x"})
    check_problem(form, 415)
    check_problem(put(service, "x", b""), 422)
    torn = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    check_problem(service.http.post(SETS, content=torn, headers=headers), 400)


# --- Idempotency keys ---


def test_a_form_with_a_field_that_is_too_long_says_which_and_how_long_it_may_be(
    service: Live,
) -> None:
    fields = {"name": "form", "options": "x" * 262_145}
    answer = service.http.post(SETS, data=fields, files={"file": ("a.csv", b"label,p\n")})
    check_problem(answer, 413)
    assert "'options' is no file and may have 262,144 bytes" in answer.json()["detail"]


def send_form(live: Live, key: str, name: str, seed: int, **options: Any) -> httpx2.Response:
    form = {"name": name, "options": json.dumps(options)}
    files = [("file", ("shapes.npz", small_uploads.npz(seed=seed)))]
    return live.http.post(SETS, data=form, files=files, headers={"Idempotency-Key": key})


def test_a_form_with_the_same_key_gets_the_first_answer(service: Live) -> None:
    first = send_form(service, "form-1", "keyed", seed=20)
    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (201, False)
    final(service, "keyed")
    again = send_form(service, "form-1", "keyed", seed=20)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


@pytest.mark.parametrize(
    ("name", "seed", "options"),
    [("keyed-2", 21, {}), ("other", 20, {}), ("keyed-2", 20, {"description": "Other words"})],
    ids=["other files", "another name", "other options"],
)
def test_a_key_that_is_sent_with_something_else_is_refused(
    service: Live, name: str, seed: int, options: dict[str, Any]
) -> None:
    assert send_form(service, "form-2", "keyed-2", seed=20).status_code == 201
    answer = send_form(service, "form-2", name, seed, **options)
    check_problem(answer, 422)
    assert answer.json()["code"] == "idempotency-key-reused"
    assert "other" not in names(service)
    derived = {"name": "other", "from": {"dataset": "mnist", "rows": 1}}
    answer = service.http.post(SETS, json=derived, headers={"Idempotency-Key": "form-2"})
    check_problem(answer, 422)


def test_a_key_is_answered_after_its_data_set_was_deleted(service: Live) -> None:
    first = send_form(service, "form-3", "short-lived", seed=22)
    final(service, "short-lived")
    assert service.http.delete(f"{SETS}/short-lived").status_code == 204
    again = send_form(service, "form-3", "short-lived", seed=22)
    assert (again.status_code, again.json()) == (201, first.json())
    assert "short-lived" not in names(service)


def test_a_key_that_comes_with_a_repetition_is_kept_too(service: Live) -> None:
    send_form(service, "form-4", "found", seed=23)
    assert send_form(service, "form-5", "found", seed=23).status_code == 200
    refused = send_form(service, "form-5", "found", seed=24)
    check_problem(refused, 422)
    assert send_form(service, "form-6", "found", seed=24).status_code == 409


# --- Uploads that end early, and several at once ---


def test_an_upload_that_is_cut_anywhere_leaves_nothing_behind(service: Live) -> None:
    sent = small_uploads.npz(seed=9)
    for tenth in range(10):
        with connection_to(service) as connection:
            cut = len(sent) * tenth // 10
            connection.sendall(head("cut", len(sent)) + sent[:cut])
            if tenth:
                eventually(lambda: "cut" in names(service), "the upload to begin")
        eventually(lambda: "cut" not in names(service), f"the row to go after {tenth} tenths")
    assert put(service, "cut", sent).status_code == 201
    assert final(service, "cut")["state"] == "ready"
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


def test_the_same_file_sent_twice_at_once_is_one_data_set(service: Live) -> None:
    sent, statuses = small_uploads.npz(seed=10), list[int]()
    together = threading.Barrier(2)

    def send() -> None:
        with httpx2.Client(base_url=service.http.base_url, timeout=30) as http:
            together.wait()
            while True:
                answer = http.put(f"{SETS}/twice", content=sent)
                if answer.status_code != 409 or "Retry-After" not in answer.headers:
                    break
                time.sleep(0.05)
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 201]
    assert final(service, "twice")["state"] == "ready"


def test_a_data_set_that_is_deleted_while_it_is_sent_is_gone(service: Live) -> None:
    sent = small_uploads.npz(seed=11)
    with connection_to(service) as connection:
        connection.sendall(head("unwanted", len(sent)) + sent[:1000])
        eventually(lambda: "unwanted" in names(service), "the upload to begin")
        assert service.http.delete(f"{SETS}/unwanted").status_code == 204
        connection.sendall(sent[1000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
    assert "unwanted" not in names(service)
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


def test_a_shipped_data_set_is_not_deleted(service: Live) -> None:
    answer = service.http.delete(f"{SETS}/mnist")
    check_problem(answer, 409)
    assert answer.json()["code"] == "dataset-shipped"
    check_problem(service.http.delete(f"{SETS}/nothing"), 404)


def test_a_dry_run_reports_and_stores_nothing(service: Live) -> None:
    before = names(service)
    answer = put(service, "tried", small_uploads.npz(seed=12), dry_run=True)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["object"], report["dataset"], report["state"]) == (
        "dataset_report",
        "tried",
        "ready",
    )
    assert report["rows"] == {"train": 120, "test": 30}
    broken = put(service, "tried", b"<html></html>", dry_run=True).json()
    assert (broken["state"], len(broken["errors"])) == ("failed", 1)
    assert names(service) == before
    files = service.app.state.components.services.datasets.files
    eventually(lambda: not files.folder(report["sha256"]).exists(), "the files to be deleted")
    check_problem(put(service, "dry-run-x", b"x"), 422)


# --- Damage ---


def test_a_damaged_set_is_told_and_refused_and_mended_by_the_same_file(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = small_uploads.npz(seed=41)
    put(service, "fragile", sent)
    found = final(service, "fragile")
    parts = service.app.state.components
    folder = parts.services.datasets.files.folder(found["sha256"])
    array = np.load(folder / "train.images.npy")
    array[0, 0] ^= 1
    (folder / "train.images.npy").unlink()
    np.save(folder / "train.images.npy", array)
    monkeypatch.setattr(verification, "SHIPPED", {})
    parts.verification.step()
    damaged = service.http.get(f"{SETS}/fragile").json()
    assert (damaged["state"], damaged["reason"]["code"]) == ("failed", "files_damaged")
    assert "\nmlp_datasets_damaged 1.0\n" in service.http.get("/metrics").text
    answer = service.http.post("/v1/jobs", json={"dataset": "fragile"})
    check_problem(answer, 422)
    assert "Its files have changed on the disk" in answer.json()["errors"][0]["detail"]
    assert "Send the same files again" in answer.json()["errors"][0]["detail"]
    assert put(service, "fragile", sent).status_code == 201
    mended = final(service, "fragile")
    assert (mended["state"], mended["sha256"]) == ("ready", found["sha256"])
    back = np.load(io.BytesIO(service.http.get(f"{SETS}/fragile/train.npz").content))
    np.testing.assert_array_equal(back["x_train"], np.load(io.BytesIO(sent))["x_train"])
    assert "\nmlp_datasets_damaged 0.0\n" in service.http.get("/metrics").text
