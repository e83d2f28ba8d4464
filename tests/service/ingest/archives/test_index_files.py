"""Labels are found in tables that stand beside pictures."""

import json
from pathlib import Path

import pytest

from service.ingest.archives import archive_source
from service.ingest.readers import reader_for
from service.ingest.refusal import Unusable
from service.ingest.source import Source, UploadedFile
from tests.support.packed_pictures import labels_of, picture, rows_of, source_of, zipped

FILES = {f"images/{n}.png": picture(n) for n in range(6)}
LABELS = ["cat", "dog", "cat", "dog", "cat", "dog"]
ALL = [(None, label) for label in LABELS]
LINES = [f"{n}.png,{label}" for n, label in enumerate(LABELS)]


def archive(tmp_path: Path, tables: dict[str, str], files: dict[str, bytes] = FILES) -> Path:
    texts = {name: text.encode() for name, text in tables.items()}
    return zipped(tmp_path / "data.zip", texts | files)


def with_lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(Unusable) as caught:
        source_of(path, **options)
    return str(caught.value)


def doubts(source: Source) -> dict[str, list[str]]:
    return {doubt.code: doubt.examples for doubt in source.doubts}


@pytest.mark.parametrize(
    "header", ["file,label", "image_id,class", "Image,breed", "filename,target", "file_name,y"]
)
def test_a_table_gives_the_label_of_each_picture(tmp_path: Path, header: str) -> None:
    path = archive(tmp_path, {"labels.csv": with_lines(header, *LINES)})
    assert labels_of(path) == ALL
    assert source_of(path).found["label"] == f"column {header.split(',')[1]} of labels.csv"


def test_a_table_may_have_no_line_of_names(tmp_path: Path) -> None:
    assert labels_of(archive(tmp_path, {"labels.csv": with_lines(*LINES)})) == ALL


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_all_spellings_are_read(tmp_path: Path, separator: str, end: str) -> None:
    lines = [line.replace(",", separator) for line in ("file,label", *LINES)]
    path = archive(tmp_path, {"labels.csv": "\ufeff" + end.join(lines)})
    assert labels_of(path) == ALL


@pytest.mark.parametrize(
    "name", ["{n}", "{n}.png", "images/{n}.png", "./images/{n}.png", "images\\{n}.png",
             "/data/set/images/{n}.png", "images/{n}"]
)  # fmt: skip
def test_pictures_are_found_by_any_part_of_their_path(tmp_path: Path, name: str) -> None:
    lines = [f"{name.format(n=n)},{label}" for n, label in enumerate(LABELS)]
    if name.startswith("/data"):
        files = {f"data/set/{path}": data for path, data in FILES.items()}
    else:
        files = {f"top/{path}": data for path, data in FILES.items()}
    table = {"top/labels.csv": with_lines("id,label", *lines)}
    assert labels_of(archive(tmp_path, table, files)) == ALL


def test_rows_and_pictures_without_each_other_are_told(tmp_path: Path) -> None:
    lines = [*LINES[:5], "7.png,cat", "8.png,dog"]
    path = archive(tmp_path, {"labels.csv": with_lines("file,label", *lines)})
    assert labels_of(path) == ALL[:5]
    source = source_of(path)
    assert doubts(source) == {
        "rows_without_file": ["labels.csv, line 7: 7.png", "labels.csv, line 8: 8.png"],
        "files_without_row": ["images/5.png"],
    }
    assert source.ignored == {"no row": 1}


def test_a_column_of_splits_divides_the_pictures(tmp_path: Path) -> None:
    splits = ["train", "test", "train", "val", "Train", "TEST"]
    lines = [f"{line},{split}" for line, split in zip(LINES, splits, strict=True)]
    path = archive(tmp_path, {"labels.csv": with_lines("file,label,split", *lines)})
    expected = ["train", "test", "train", "validation", "train", "test"]
    assert labels_of(path) == list(zip(expected, LABELS, strict=True))


def test_a_table_for_each_split_divides_the_pictures(tmp_path: Path) -> None:
    tables = {
        "train.csv": with_lines("file,label", *LINES[:4]),
        "test.csv": with_lines("file,label", *LINES[4:]),
    }
    assert labels_of(archive(tmp_path, tables)) == [
        ("train" if n < 4 else "test", label) for n, label in enumerate(LABELS)
    ]


def test_folders_of_splits_go_with_a_table_of_labels(tmp_path: Path) -> None:
    files = {f"{'train' if n < 4 else 'test'}/{n}.png": picture(n) for n in range(6)}
    table = {"labels.csv": with_lines("file,label", *LINES)}
    assert [split for split, _ in labels_of(archive(tmp_path, table, files))] == [
        *["train"] * 4,
        *["test"] * 2,
    ]


def test_folders_are_believed_where_the_table_says_the_same(tmp_path: Path) -> None:
    files = {f"{label}/{n}.png": picture(n) for n, label in enumerate(LABELS)}
    lines = [f"{label}/{n}.png,{label == 'dog':d}" for n, label in enumerate(LABELS)]
    path = archive(tmp_path, {"data.csv": with_lines("file,label", *lines)}, files)
    assert labels_of(path) == ALL
    assert source_of(path).found["label"] == "parent folder"


def test_a_table_is_believed_where_the_folders_say_something_else(tmp_path: Path) -> None:
    files = {f"part{n % 3}/{n}.png": picture(n) for n in range(6)}
    path = archive(tmp_path, {"data.csv": with_lines("file,label", *LINES)}, files)
    assert sorted(labels_of(path), key=str) == sorted(ALL, key=str)
    assert [label for *_, label, _ in rows_of(source_of(path, label="parent"))] == [
        *("part0", "part1", "part2") * 2
    ]


def test_the_option_label_names_the_column(tmp_path: Path) -> None:
    lines = [f"{line},{n % 3}" for n, line in enumerate(LINES)]
    path = archive(tmp_path, {"data.csv": with_lines("file,kind,size", *lines)})
    assert "can't be told which column is the label: file, kind, size" in refusal(path)
    assert labels_of(path, label={"column": "Kind"}) == ALL
    assert "no column 'race', but file, kind, size" in refusal(path, label={"column": "race"})


def test_a_column_needs_a_table(tmp_path: Path) -> None:
    assert "No table" in refusal(archive(tmp_path, {}), label={"column": "kind"})


def test_a_column_for_each_class_is_a_label(tmp_path: Path) -> None:
    lines = [f"{n},{label == 'cat':d},{label == 'dog':d}.0" for n, label in enumerate(LABELS)]
    assert labels_of(archive(tmp_path, {"train.csv": with_lines("id,cat,dog", *lines)})) == [
        ("train", label) for label in LABELS
    ]


def test_whole_numbers_lose_the_fraction_that_programs_write(tmp_path: Path) -> None:
    lines = [f"{n}.png,{n % 2}.0" for n in range(6)]
    path = archive(tmp_path, {"labels.csv": with_lines("file,label", *lines)})
    assert [label for _, label in labels_of(path)] == ["0", "1"] * 3


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_a_table_may_be_sent_beside_the_archive(tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    records = with_lines(*map(json.dumps, RECORDS))
    table.write_text(with_lines("file,label", *LINES) if name.endswith("csv") else records)
    pictures = archive(tmp_path, {})
    files = [UploadedFile(path, path.name) for path in (table, pictures)]
    assert reader_for(files) is archive_source.read
    assert labels_of([table, pictures]) == ALL
    assert source_of([pictures, table]).found["format"] == "zip"


RECORDS = [{"file_name": f"{n}.png", "label": label} for n, label in enumerate(LABELS)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", with_lines(*map(json.dumps, RECORDS))),
        ("labels.json", json.dumps(RECORDS)),
        ("labels.json", json.dumps({"version": 1, "images": RECORDS})),
        ("labels.json", json.dumps({it["file_name"]: it["label"] for it in RECORDS})),
        ("labels.json", json.dumps({it["file_name"]: {"label": it["label"]} for it in RECORDS})),
    ],
)
def test_labels_may_be_written_as_json(tmp_path: Path, name: str, text: str) -> None:
    assert labels_of(archive(tmp_path, {name: text})) == ALL


def test_a_picture_with_two_labels_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"labels.csv": with_lines("file,label", *LINES, "1.png,cat")})
    assert "labels.csv, line 8: images/1.png has two labels, dog and cat." in refusal(path)


def test_a_row_without_a_label_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"labels.csv": with_lines("file,label", *LINES[:5], "5.png,")})
    assert "labels.csv, line 7: The label is missing." in refusal(path)


@pytest.mark.parametrize(
    "table",
    [
        {"README.txt": "These are cats and dogs.\n\nTaken by me.\n"},
        {"notes.csv": "day,weather\n1,rain\n2,sun\n"},
        {"config.json": '{"size": 28, "names": ["cat", "dog"]}'},
        {"deep.json": "[" * 100_000},
        {"binary.csv": "\0\1\2\3" * 1000},
        {"quotes.csv": '"' * 1_000_000},
        {"empty.csv": ""},
        {"numbers.json": "[1, 2, 3]"},
    ],
)
def test_other_files_are_no_tables_of_pictures(tmp_path: Path, table: dict[str, str]) -> None:
    files = {f"{label}/{n}.png": picture(n) for n, label in enumerate(LABELS)}
    path = archive(tmp_path, table, files)
    assert labels_of(path) == ALL
    assert source_of(path).ignored == {"no picture": 1}


def test_pictures_without_folders_or_table_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {f"{n}.png": picture(n) for n in range(3)})
    said = refusal(path)
    assert "None of its 3 pictures lies in the folder of a class." in said
    assert "labels.csv" in said


def test_the_example_of_an_answer_to_a_competition_labels_nothing(tmp_path: Path) -> None:
    answers = with_lines("file,label", *(f"{n}.png,cat" for n in range(6)))
    tables = {"labels.csv": with_lines("file,label", *LINES), "sample_submission.csv": answers}
    assert labels_of(archive(tmp_path, tables)) == ALL


def test_pictures_are_named_by_the_column_that_names_most_of_them(tmp_path: Path) -> None:
    files = {f"signs/{label}.png": picture(9) for label in ("cat", "dog")} | FILES
    lines = [f"{label},images/{n}.png" for n, label in enumerate(LABELS)]
    path = archive(tmp_path, {"t.csv": with_lines("class,path", *lines)}, files)
    assert labels_of(path) == ALL
    assert doubts(source_of(path))["files_without_row"] == ["signs/cat.png", "signs/dog.png"]


def test_a_table_without_names_has_its_label_in_the_only_column_of_text(tmp_path: Path) -> None:
    lines = [f"{n}.png {label} 0 0 27 27" for n, label in enumerate(LABELS)]
    assert labels_of(archive(tmp_path, {"val_annotations.txt": with_lines(*lines)})) == [
        ("validation", label) for label in LABELS
    ]


@pytest.mark.parametrize(
    "folder", ["/data/upload/1/", "C:\\me\\pictures\\", "https://example.org/pictures/"]
)
def test_paths_of_another_machine_count_by_their_last_name(tmp_path: Path, folder: str) -> None:
    lines = [f"{folder}{n}.png,{label}" for n, label in enumerate(LABELS)]
    assert labels_of(archive(tmp_path, {"t.csv": with_lines("image,choice", *lines)})) == ALL


def test_paths_of_another_split_do_not_count_by_their_last_name(tmp_path: Path) -> None:
    files = {f"train/{n}.png": picture(n) for n in range(6)}
    lines = [f"/data/test/{n}.png,{label}" for n, label in enumerate(LABELS)]
    text = refusal(archive(tmp_path, {"t.csv": with_lines("image,label", *lines)}, files))
    assert "None of its 6 pictures" in text


def test_a_table_that_only_numbers_pictures_gives_them_no_labels(tmp_path: Path) -> None:
    files = {f"{'cat' if n % 2 else 'dog'}/{n}.png": picture(n) for n in range(12)}
    lines = [f"{n + 1} {path}" for n, path in enumerate(files)]
    labels = labels_of(archive(tmp_path, {"images.txt": with_lines(*lines)}, files))
    assert {label for _, label in labels} == {"cat", "dog"}


def test_a_table_is_believed_if_it_knows_more_than_the_folders_do(tmp_path: Path) -> None:
    files = {f"train/{n % 2}/{n}.png": picture(n) for n in range(4)}
    files |= {f"test/{n}.png": picture(n) for n in range(4, 6)}
    lines = [f"{path},{n % 2}" for n, path in enumerate(files)]
    labels = labels_of(archive(tmp_path, {"t.csv": with_lines("path,label", *lines)}, files))
    assert labels[-2:] == [("test", "0"), ("test", "1")]
