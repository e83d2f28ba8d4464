"""Sending data sets, waiting for their check, and deleting them with both clients."""

import asyncio
import io
from pathlib import Path

import httpx2
import numpy as np
import pytest

from mlp_client import DatasetFailed, NotFoundError, RefusedError, WaitTimeout
from mlp_client.dataset_fields import DatasetFields, LabelFields, SplitFields
from mlp_client.dataset_options import DatasetOptions, LabelOption, SplitOption
from mlp_client.dataset_records import DatasetRecord
from tests.support.fake_datasets import FakeDatasets, failed, make_dataset
from tests.support.fake_service import Stream

LEFT = [make_dataset("x", "checking", progress=0.5), make_dataset("x", train_rows=9)]


def test_a_file_is_sent_with_its_options(tmp_path: Path) -> None:
    (tmp_path / "letters.csv").write_text("a,1")
    service = FakeDatasets()
    made = service.client().datasets.create(
        "letters", tmp_path / "letters.csv", split={"test": 0.25}, size=np.int64(8)
    )
    assert (made.name, made.state) == ("letters", "queued")
    [(options, files)] = service.sent
    assert options == {"split": {"test": 0.25}, "size": 8}
    assert list(files.values()) == [b"a,1"]


def test_a_single_file_is_put_so_that_sending_it_again_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    service = FakeDatasets()
    service.client().datasets.create("x", tmp_path / "a.csv")
    [request] = service.requests
    assert (request.method, str(request.url)) == ("PUT", "http://fake/v1/datasets/x")
    assert request.headers["Content-Length"] == "3"


def test_a_data_set_is_made_of_another_one() -> None:
    service = FakeDatasets()
    made = service.client().datasets.derive(
        "few", "mnist", rows=np.int64(10), classes=("3", "8"), seed=None, description="Few"
    )
    assert (made.name, made.state) == ("few", "queued")
    [(body, files)] = service.sent
    from_ = {"dataset": "mnist", "rows": 10, "classes": ["3", "8"]}
    assert (body, files) == ({"name": "few", "from": from_, "description": "Few"}, {})
    assert service.requests[0].headers["Idempotency-Key"], "so that it may be sent again"


def test_many_names_of_classes_do_not_stand_in_the_address(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    service = FakeDatasets()
    classes = [f"class number {number}" for number in range(256)]
    service.client().datasets.create("x", tmp_path / "a.csv", classes=classes)
    [(options, files)] = service.sent
    assert (options, files) == ({"classes": classes}, {"a.csv": b"a,1"})
    assert len(str(service.requests[0].url)) < 100


def test_several_files_are_sent_together_under_their_names(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(name)
    service = FakeDatasets()
    service.client().datasets.create("x", [tmp_path / "train.csv", tmp_path / "test.csv"])
    assert service.sent == [({}, {"train.csv": b"train.csv", "test.csv": b"test.csv"})]


def test_arrays_are_sent_by_their_names() -> None:
    service = FakeDatasets()
    made = service.client().datasets.create("x", x_train=np.eye(4), y_train=list("abcd"))
    assert made.state == "queued"
    [(_, files)] = service.sent
    with np.load(io.BytesIO(*files.values())) as found:
        assert {name: found[name].shape for name in found} == {"x_train": (4, 4), "y_train": (4,)}


def test_an_upload_whose_answer_was_lost_is_sent_again_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    service = FakeDatasets()
    service.faults.append(httpx2.ReadError("connection reset"))
    service.client().datasets.create("x", tmp_path / "a.csv")
    first, second = (request.content for request in service.requests)
    assert first == second


def test_wait_looks_until_the_check_has_ended() -> None:
    service = FakeDatasets()
    service.sets["x"] = make_dataset("x", "queued")
    dataset = service.client().datasets.get("x")
    service.ends = [*LEFT]
    assert dataset.wait() is dataset
    assert (dataset.state, dataset.data.train_rows, dataset.classes) == ("ready", 9, ["a", "b"])
    assert repr(dataset) == "<DatasetHandle x ready: 9 + 2 rows, 2 classes>"


def test_waiting_for_a_set_that_is_ready_sends_nothing() -> None:
    service = FakeDatasets()
    dataset = service.client().datasets.get("mnist")
    dataset.wait()
    assert len(service.requests) == 1


def test_a_set_that_can_not_be_used_raises_with_all_that_is_wrong() -> None:
    service = FakeDatasets()
    service.sets["x"] = failed("x", "Two values are wrong.")
    value = {"code": "value", "detail": "300 is above 255.", "place": "line 4, column 2"}
    page = {"code": "web_page", "detail": "This is a web page.", "hint": "Fetch it again."}
    service.found = {"errors": [value, page]}
    with pytest.raises(DatasetFailed) as caught:
        service.client().datasets.get("x").wait()
    assert str(caught.value).splitlines() == [
        "Data set x can't be used: Two values are wrong.",
        "  line 4, column 2: 300 is above 255.",
        "  This is a web page. Fetch it again.",
    ]
    assert caught.value.dataset.state == "failed"
    assert [flaw.code for flaw in caught.value.report.errors] == ["value", "web_page"]


def test_waiting_ends_with_the_time() -> None:
    service = FakeDatasets()
    service.sets["x"] = make_dataset("x", "queued")
    with pytest.raises(WaitTimeout, match=r"Not finished after 0.01 s: x\. The check goes on\."):
        service.client().datasets.get("x").wait(timeout=0.01)


def test_the_progress_is_shown_in_lines_without_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    service = FakeDatasets()
    made = service.client().datasets.create("x", tmp_path / "a.csv", progress=True)
    service.ends = [*LEFT]
    made.wait(progress=True)
    assert capfd.readouterr() == ("", "x: sending\nx: checking\nx: ready\n")


def test_nothing_is_shown_without_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    service = FakeDatasets()
    made = service.client().datasets.create("x", tmp_path / "a.csv")
    service.ends = [*LEFT]
    made.wait()
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_none_is_refused_in_the_servers_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,1")
    with pytest.raises(RefusedError, match="'My set' is no name of a data set"):
        FakeDatasets().client().datasets.create("My set", tmp_path / "a.csv")


def test_a_set_in_use_is_deleted_only_by_force() -> None:
    service = FakeDatasets()
    service.sets["x"] = make_dataset("x")
    client = service.client()
    assert [it.name for it in client.datasets.list()] == ["mnist", "x"]
    with pytest.raises(RefusedError, match="The data set 'x' is needed"):
        client.datasets.get("x").delete()
    client.datasets.get("x").delete(force=True)
    with pytest.raises(NotFoundError, match="There is no data set 'x'"):
        client.datasets.get("x")


def test_the_asynchronous_client_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,1")
    service = FakeDatasets()

    async def use() -> None:
        async with service.async_client() as client:
            made = await client.datasets.create("x", tmp_path, invert=True)
            service.ends = [*LEFT]
            assert (await made.wait()).state == "ready"
            assert (await made.report()).dataset == "x"
            service.sets["x"] = failed("x", "no luck")
            with pytest.raises(DatasetFailed, match="no luck"):
                await (await made.refresh()).wait()
            assert [it.name for it in await client.datasets.list()] == ["mnist", "x"]
            await (await client.datasets.get("x")).delete(force=True)

    asyncio.run(use())
    [(options, files)] = service.sent
    assert options == {"invert": True}
    assert [data[:4] for data in files.values()] == [b"PK\x03\x04"]
    assert list(service.sets) == ["mnist"]


@pytest.mark.parametrize(
    ("fields", "record"),
    [(DatasetFields, DatasetOptions), (SplitFields, SplitOption), (LabelFields, LabelOption)],
)
def test_the_keyword_arguments_are_the_options(fields: type, record: type[DatasetOptions]) -> None:
    assert set(fields.__annotations__) == set(record.model_fields)


# --- Events ---


def event(record: DatasetRecord) -> bytes:
    return f"event: dataset\ndata: {record.model_dump_json()}\n\n".encode()


QUEUED, (HALF, READY) = make_dataset("x", "queued"), LEFT


def test_events_bring_the_record_after_each_change() -> None:
    service = FakeDatasets()
    service.sets["x"] = QUEUED
    service.streams.append([event(QUEUED), event(HALF), event(READY)])
    dataset = service.client().datasets.get("x")
    seen = []
    for record in dataset.events():
        assert dataset.data == record
        seen.append(record)
    assert seen == [QUEUED, HALF, READY]
    assert service.paths() == ["GET /v1/datasets/x", "GET /v1/datasets/x/events"]


def test_a_broken_stream_is_opened_again_and_nothing_is_told_twice() -> None:
    service = FakeDatasets()
    service.sets["x"] = HALF
    broken: Stream = [event(QUEUED), b"event: dataset\ndata: {\n\n"]
    reset: Stream = [event(HALF), httpx2.ReadError("reset")]
    service.streams.extend([broken, reset, [event(HALF), event(READY)]])
    assert list(service.client().datasets.get("x").events()) == [QUEUED, HALF, READY]


def test_the_set_is_polled_if_a_proxy_blocks_its_stream() -> None:
    service = FakeDatasets()
    service.sets["x"] = QUEUED
    dataset = service.client().datasets.get("x")
    service.ends = [HALF, HALF, READY]
    assert list(dataset.events()) == [HALF, READY]


def test_events_of_a_deleted_set_end_with_the_error_of_its_address() -> None:
    service = FakeDatasets()
    service.sets["x"] = QUEUED
    dataset = service.client().datasets.get("x")
    del service.sets["x"]
    service.streams.append([event(QUEUED), b'event: deleted\ndata: {"id":"ds_1","name":"x"}\n\n'])
    events = dataset.events()
    assert next(events) == QUEUED
    with pytest.raises(NotFoundError, match="There is no data set 'x'"):
        next(events)


def test_the_asynchronous_client_has_the_same_events() -> None:
    service = FakeDatasets()
    service.sets["x"] = HALF
    service.streams.extend([[event(QUEUED), httpx2.ReadError("reset")], [event(READY)]])

    async def use() -> None:
        async with service.async_client() as client:
            dataset = await client.datasets.get("x")
            assert [record async for record in dataset.events()] == [QUEUED, HALF, READY]
            assert dataset.data == READY

    asyncio.run(use())
