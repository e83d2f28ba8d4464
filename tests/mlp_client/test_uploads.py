"""What is sent of a file, a folder, several files or arrays: the right bytes, never all at once."""

import asyncio
import email
import email.policy
import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_client.errors import DatasetUnusable
from mlp_client.uploads import AsyncPieces, Source, Upload, form, opened


def sent(source: Source | None = None, **arrays: Any) -> list[tuple[str, bytes]]:
    """Return the names and the bytes of what is sent; reading twice gives the same."""
    with opened(source, arrays) as uploads:
        found = [(upload.name, b"".join(upload)) for upload in uploads]
        assert [(upload.name, b"".join(upload)) for upload in uploads] == found
        assert all(upload.size in (None, len(data)) for upload, (_, data) in zip(uploads, found))  # noqa: B905
        return found


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letters.zip"
    path.write_bytes(bytes(range(256)) * 4000)
    assert sent(str(path)) == sent(path) == [("letters.zip", path.read_bytes())]


def test_a_folder_is_sent_as_a_zip_of_its_files(tmp_path: Path) -> None:
    folder = written(tmp_path / "letters", a__1="x", a__2="y", b__1="z" * 600_000)
    [(name, data)] = sent(folder)
    assert name == "letters.zip"
    assert members(data) == {"a/1": b"x", "a/2": b"y", "b/1": b"z" * 600_000}


def test_hidden_files_and_folders_stay_at_home(tmp_path: Path) -> None:
    folder = written(tmp_path / "x", a__1="x")
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("ref")
    (folder / "a/.DS_Store").write_text("system")
    [(_, data)] = sent(folder)
    assert list(members(data)) == ["a/1"]


def test_the_same_folder_is_the_same_archive_each_time(tmp_path: Path) -> None:
    first = written(tmp_path / "one/x", b__1="b", a__1="a")
    second = written(tmp_path / "two/x", a__1="a", b__1="b")
    assert sent(first) == sent(second)


def test_files_that_are_packed_already_are_not_packed_again(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "1.png").write_bytes(bytes(100_000))
    (folder / "1.bmp").write_bytes(bytes(100_000))
    [(_, data)] = sent(folder)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {info.filename: info.compress_size for info in archive.infolist()}
    assert sizes["1.png"] == 100_000
    assert sizes["1.bmp"] < 1000


def test_several_folders_keep_their_names_in_one_zip(tmp_path: Path) -> None:
    folder = written(tmp_path, train__a__1="x", test__a__1="y")
    (folder / "names.csv").write_text("a,b")
    [(_, data)] = sent([folder / "train", folder / "test", folder / "names.csv"])
    assert members(data) == {"train/a/1": b"x", "test/a/1": b"y", "names.csv": b"a,b"}


def test_several_files_are_sent_one_by_one(tmp_path: Path) -> None:
    folder = written(tmp_path, train="1,2", test="3,4")
    assert sent([folder / "train", folder / "test"]) == [("train", b"1,2"), ("test", b"3,4")]


@pytest.mark.parametrize("dot", ["-", "."])
def test_a_folder_of_mnists_format_is_sent_file_by_file(tmp_path: Path, dot: str) -> None:
    names = [f"t10k-images{dot}idx3-ubyte.gz", f"train-labels{dot}idx1-ubyte"]
    for name in [*names, "README.md"]:
        (tmp_path / name).write_text(name)
    assert sent(tmp_path) == [(name, name.encode()) for name in names]


def test_arrays_are_sent_as_an_npz_file() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    [(name, data)] = sent(x_train=images, y_train=["a", "b"])
    assert name == "arrays.npz"
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        assert found["x_train"].tobytes() == images.tobytes()
        assert found["x_train"].shape == (2, 3, 4)
        assert found["y_train"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "arrays", "message"),
    [
        (None, {}, "give the path of a file or a folder, or x_train"),
        ("x.zip", {"x_train": [1]}, "made of files or of arrays"),
        ([], {}, "list of files is empty"),
        (None, {"x_train": [[1], [2, 3]]}, "x_train is no array"),
        (None, {"x_train": [None, 1]}, "x_train is an array of objects.*numpy.stack"),
    ],
)
def test_what_can_not_be_a_data_set_is_refused_with_the_way_out(
    source: Source | None, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetUnusable, match=message):
        sent(source, **arrays)


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match=f"There is no file in {tmp_path}"):
        sent(tmp_path)


def test_a_missing_file_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sent(tmp_path / "nowhere.zip")


def parsed(body: Upload) -> list[tuple[Any, Any, Any]]:
    """Read a form with the standard library's parser of messages: name, file name and content."""
    head = f"Content-Type: {body.media_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + b"".join(body), policy=email.policy.HTTP)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_a_form_has_its_fields_and_files_and_knows_its_length() -> None:
    one = Upload("train.csv", lambda: iter([b"a,", b"b"]), 3)
    other = Upload('te"st.csv', lambda: iter([b"c,d"]), 3)
    body = form({"name": "letters", "options": '{"size":[8,8]}'}, [one, other])
    assert body.size == len(b"".join(body))
    assert parsed(body) == [
        ("name", None, b"letters"),
        ("options", None, b'{"size":[8,8]}'),
        ("file", "train.csv", b"a,b"),
        ("file", 'te"st.csv', b"c,d"),
    ]


def test_the_length_of_a_form_with_a_folder_is_not_known_before(tmp_path: Path) -> None:
    with opened(written(tmp_path, a="x"), {}) as uploads:
        assert "Content-Length" not in form({}, uploads).headers


def test_the_pieces_are_the_same_for_asyncio(tmp_path: Path) -> None:
    async def collect(upload: Upload) -> bytes:
        return b"".join([piece async for piece in AsyncPieces(upload)])

    with opened(written(tmp_path, a="x" * 900_000), {}) as [upload]:
        assert asyncio.run(collect(upload)) == b"".join(upload)


def test_a_folder_larger_than_the_memory_could_be_sent(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(4 << 20)
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(noise)
    with opened(tmp_path, {}) as [upload]:
        tracemalloc.start()
        total = sum(map(len, upload))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert total > 12 * len(noise)
    assert peak < 4 << 20
