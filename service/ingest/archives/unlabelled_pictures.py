"""Says why pictures have no labels: what lies beside them, and what their names begin with.

Sets for finding things in pictures look like sets of labelled pictures. They have a file of boxes
or a mask for each picture, and folders such as `images`, which would be taken for the only class.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set

from service.ingest.archives.archive_members import Member, shown
from service.ingest.refusal import Unusable, unusable
from service.ingest.tables.table_cells import is_number

OF_ANY_PICTURES = {
    *("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data", "dataset"),
    *("train_images", "test_images", "input", "inputs", "raw"),
}
"""Folders of these names hold pictures of any class."""
OF_MASKS = {
    *("masks", "mask", "labels", "annotations", "segmentation", "segmentations", "gt"),
    *("groundtruth", "ground_truth", "segmentationclass", "segmentationobject"),
}
"""Folders of these names hold a picture of outlines for each picture."""
HALF = 0.5
MOST_LOOKED_AT = 8
LARGEST_LOOKED_AT = 8 * 1024**2
BOX_NUMBERS = 5
"""A line of YOLO's has the number of a class, and the place of a thing in at least four."""
BOX_BYTES = 4096
NAME_START = re.compile(r"(?:^|/)([A-Za-z]+)[^/]*$")
MOST_CLASSES = 256
MOST_SHOWN = 5
CLASSIFICATION = (
    "A network tells whole pictures apart. Export the set for classification, with a folder of "
    "pictures for each class; Roboflow calls this the format `Folder Structure`."
)
Read = Callable[[Sequence[Member]], Iterator[tuple[Member, bytes]]]


def are_no_classes(labels: Set[str]) -> bool:
    """Return whether folders only say that pictures are in them."""
    return len(labels) < 2 and {label.lower() for label in labels} <= OF_ANY_PICTURES


def refuse_annotated(
    pictures: Sequence[Member], others: Sequence[Member], labels: Set[str], read: Read
) -> None:
    """Refuse pictures that come with boxes or masks in place of labels.

    Args:
        pictures: of an archive.
        others: its other files.
        labels: the classes that its folders seem to be.
        read: yields files with their bytes.

    Raises:
        Unusable: with one of the files of boxes, or the folder of masks.

    """
    lower = {label.lower() for label in labels}
    if len(lower) > 1:
        if lower <= OF_ANY_PICTURES | OF_MASKS and lower & OF_MASKS:
            listed = " and ".join(sorted(map(shown, labels)))
            raise _annotated(f"The folders {listed} hold pictures and their masks.", "")
        return
    for member, data in read(list(_looked_at(pictures, others))):
        if _has_boxes(member, data):
            raise _annotated(
                "The pictures come with boxes of the things in them, and not with one label each.",
                member.path,
            )


def _annotated(detail: str, path: str) -> Unusable:
    return unusable("boxes", detail, shown(path), CLASSIFICATION)


def _looked_at(pictures: Sequence[Member], others: Sequence[Member]) -> Iterator[Member]:
    """Yield files that may hold boxes: documents of JSON, and one with the name of a picture."""
    named = {_stem(picture) for picture in pictures}
    beside = [it for it in others if it.suffix in ("txt", "xml") and _stem(it) in named]
    if len(beside) >= HALF * len(pictures):
        yield max(beside, key=lambda it: min(it.size, LARGEST_LOOKED_AT))
    documents = (it for it in others if it.suffix == "json" and it.size <= LARGEST_LOOKED_AT)
    yield from sorted(documents, key=lambda it: it.number)[:MOST_LOOKED_AT]


def _stem(member: Member) -> str:
    return member.path.rpartition("/")[2].rpartition(".")[0]


def _has_boxes(member: Member, data: bytes) -> bool:
    if member.suffix == "json":
        return all(word in data for word in (b'"annotations"', b'"bbox"', b'"images"'))
    if member.suffix == "xml":
        return b"<annotation" in data
    lines = data[:BOX_BYTES].decode("utf-8", "replace").splitlines()[:MOST_LOOKED_AT]
    rows = [line.split() for line in lines]
    return bool(rows) and all(len(row) >= BOX_NUMBERS and all(map(is_number, row)) for row in rows)


def no_classes(pictures: Sequence[Member]) -> Unusable:
    """Return the refusal of pictures that lie in no folder of a class."""
    if not pictures:
        return unusable(
            "no_images",
            "It holds no pictures.",
            hint="Pack a folder of pictures for each class, as PNG or JPEG.",
        )
    detail = f"None of its {len(pictures):,} pictures lies in the folder of a class."
    starts = Counter(match[1] for it in pictures if (match := NAME_START.search(it.path)))
    is_told = (
        2 <= len(starts) <= min(MOST_CLASSES, len(pictures) // 2)
        and starts.total() == len(pictures)
        and min(starts.values()) > 1
    )
    if is_told:
        listed = ", ".join(sorted(starts)[:MOST_SHOWN])
        more = ", …" if len(starts) > MOST_SHOWN else ""
        detail += f" The names of the files begin with {listed}{more}."
    return unusable(
        "no_classes",
        detail,
        hint="Put the pictures of each class into a folder that has the name of the class; or set "
        f'the option `label` to {{"pattern": "{NAME_START.pattern}"}} if the beginnings of the '
        "names of the files tell it; or add a table `labels.csv` with the columns file and label.",
    )
