"""Finds classes and splits in the paths of pictures: a folder for each class, or each split's.

Archives hold more than that: folders above the classes, a folder of the same name in each class,
classes beside a folder `test`. The rules here are the answers to what real archives have.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from service.ingest.archives.archive_members import Member, shown
from service.ingest.archives.label_patterns import labels_by_pattern
from service.ingest.refusal import unusable
from service.ingest.split_words import FOLDER_SPLITS, split_of_folder, without_split

PARENT, PATH, PATTERN = "parent", "path", "pattern"
TRAIN = "train"
MAX_FOLDERS = 20_000
"""More than any set of 256 classes has, also with a folder for each writer."""
Folders = tuple[str, ...]
Label = str | Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture with what its path says."""

    member: Member
    split: str | None
    label: str


@dataclass
class Found:
    """The pictures of an archive, by what their paths say."""

    placed: list[Placed] = field(default_factory=list)
    top: str = ""
    """The folders above everything, which say nothing."""
    splits: Counter[str] = field(default_factory=Counter)
    """The folders that name splits, with the pictures in each."""
    without_class: list[Member] = field(default_factory=list)

    @property
    def labels(self) -> set[str]:
        return {picture.label for picture in self.placed}


def find(pictures: Sequence[Member], label: Label = None) -> Found:
    """Return the pictures of an archive with their splits and labels.

    Args:
        pictures: the files of an archive that are pictures.
        label: `parent`, the folder that a picture lies in; `path`, all folders but those of
            splits; or {"pattern": …}, the group of a regular expression that is looked for in the
            path. None is `parent`, unless folders in different places have one name.

    Raises:
        Unusable: folders of one name lie in different places, there are too many of them, or the
            pattern is none or takes too long.

    """
    found = Found()
    folders = _counted_folders(pictures)
    top = _common_top([path for path in folders if path])
    found.top = "/".join((*top, "")) if top else ""
    splits = _split_folders(folders)
    by_pattern = _labels_by_pattern(pictures, label)
    classes = {path: _classes(path, len(top), splits) for path in folders}
    classes = _without_common_end(_without_tops(classes, splits), label)
    for at, picture in enumerate(pictures):
        path = _folders(picture.path)
        split = _split_of(path, splits)
        if split:
            found.splits["/".join(split[0]) + "/"] += 1
        text = by_pattern[at] if by_pattern else _label(classes[path], label)
        if text:
            found.placed.append(Placed(picture, split[1] if split else None, text))
        else:
            found.without_class.append(picture)
    if label is None:
        _refuse_merged(classes.values())
    return _without_strangers(found)


def _without_strangers(found: Found) -> Found:
    """Return pictures without those outside of given splits whose folder is no class within them.

    Beside folders to train and test on, `single_prediction` holds pictures of any class.
    """
    known = {picture.label for picture in found.placed if picture.split}
    if any(picture.split == TRAIN for picture in found.placed):
        strangers = [it for it in found.placed if not it.split and it.label not in known]
        found.without_class += [picture.member for picture in strangers]
        found.placed = [it for it in found.placed if it.split or it.label in known]
    return found


def _counted_folders(pictures: Sequence[Member]) -> Counter[Folders]:
    """Return the folders that hold pictures, with their numbers.

    Raises:
        Unusable: there are too many folders.

    """
    folders = Counter(_folders(picture.path) for picture in pictures)
    if len(folders) > MAX_FOLDERS:
        raise unusable(
            "too_many_classes",
            f"Its pictures lie in {len(folders):,} folders; at most {MAX_FOLDERS:,} are read.",
            hint="Put the pictures of each class into one folder.",
        )
    return folders


def _folders(path: str) -> Folders:
    return tuple(path.split("/")[:-1])


def _label(classes: Folders, label: Label) -> str:
    return "/".join(classes) if label == PATH else classes[-1] if classes else ""


def _labels_by_pattern(pictures: Sequence[Member], label: Label) -> list[str]:
    """Return the label of each picture by the pattern of an option; nothing if there is none."""
    if not isinstance(label, Mapping) or PATTERN not in label:
        return []
    return labels_by_pattern(label[PATTERN], [picture.path for picture in pictures])


# --- Folders above and below the classes ----------------------------------------------------------


def _common_top(folders: Sequence[Folders]) -> Folders:
    """Return the folders in which everything lies, except those that may be a class or a split."""
    if not folders:
        return ()
    first, last = min(folders), max(folders)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    top = first[:same]
    while top and top[-1].lower() in FOLDER_SPLITS:
        top = top[:-1]
    if top in folders:  # which holds pictures, and so may be a class
        top = top[:-1]
    return top


def _classes(path: Folders, top: int, splits: Mapping[Folders, str]) -> Folders:
    """Return the folders of a path that may name a class."""
    return tuple(path[at] for at in range(top, len(path)) if path[: at + 1] not in splits)


def _without_tops(
    classes: Mapping[Folders, Folders], splits: Mapping[Folders, str]
) -> dict[Folders, Folders]:
    """Return the classes without the folders in which all pictures of a split lie."""
    groups: dict[Folders, set[Folders]] = {}
    outermost = {}
    for path, found in classes.items():
        split = _split_of(path, splits)
        outermost[path] = split[0] if split else ()
        if found:
            groups.setdefault(outermost[path], set()).add(found)
    tops = {group: len(_common_top(list(found))) for group, found in groups.items()}
    return {path: found[tops.get(outermost[path], 0) :] for path, found in classes.items()}


def _without_common_end(classes: dict[Folders, Folders], label: Label) -> dict[Folders, Folders]:
    """Return the classes without a last folder that all of them have, as in `cat/images/`."""

    def several_end_alike() -> bool:
        ends = {found[-1] for found in classes.values() if found}
        return len(ends) == 1 and len(set(filter(None, classes.values()))) > 1

    while label != PARENT and several_end_alike():
        classes = {path: found[:-1] for path, found in classes.items()}
    return classes


def _refuse_merged(classes: Iterable[Folders]) -> None:
    """Refuse folders of one name in different places, whose pictures would be one class."""
    places: dict[str, Folders] = {}
    for folders in classes:
        if folders and places.setdefault(folders[-1], folders) != folders:
            first, second = sorted(("/".join(folders), "/".join(places[folders[-1]])))
            raise unusable(
                "ambiguous_classes",
                f"Several folders are named {shown(folders[-1])!r}, such as {shown(first)} and "
                f"{shown(second)}.",
                hint="Set the option `label` to `path` if each is a class of its own, or to "
                "`parent` if they are one class.",
            )


# --- Splits ---------------------------------------------------------------------------------------


def _split_of(path: Folders, splits: Mapping[Folders, str]) -> tuple[Folders, str] | None:
    """Return the outermost folder above a picture that names a split, and the split."""
    for end in range(1, len(path) + 1):
        if split := splits.get(path[:end]):
            return path[:end], split
    return None


def _split_folders(pictures: Mapping[Folders, int]) -> dict[Folders, str]:
    """Return the folders that name a split, with the split.

    A folder `test` does, and `test_images` if it holds folders of classes that are also elsewhere,
    or if there is `train_images`.

    Args:
        pictures: the number of pictures that lie in each folder, and not in a folder in it.

    """
    children: dict[Folders, set[str]] = {}
    for path in pictures:
        for end in range(len(path), 0, -1):
            siblings = children.setdefault(path[: end - 1], set())
            if path[end - 1] in siblings:
                break
            siblings.add(path[end - 1])
    named = {
        (*parent, name): split
        for parent, names in children.items()
        for name in names
        if (split := split_of_folder(name))
    }
    classes = Counter(path[-1] for path in pictures if path and path not in named)
    stems: dict[str, set[str]] = {}
    for path, split in named.items():
        stems.setdefault(without_split(path[-1]), set()).add(split)
    return {
        path: split
        for path, split in named.items()
        if _is_split(path, pictures, children, classes, len(stems[without_split(path[-1])]))
    }


def _is_split(
    path: Folders,
    pictures: Mapping[Folders, int],
    children: Mapping[Folders, set[str]],
    classes: Mapping[str, int],
    counterparts: int,
) -> bool:
    """Return whether a folder with the word of a split in its name is one.

    Args:
        path: of the folder.
        pictures: the number of pictures in each folder.
        children: the names of the folders in each folder.
        classes: the number of folders of each name that hold pictures.
        counterparts: of folders that have the same name, but for the word of the split.

    """
    below = children.get(path, set())
    if path[-1].lower() in FOLDER_SPLITS:
        return bool(below) or counterparts > 1 or not _is_vehicle(path, pictures, children)
    if counterparts > 1:
        return True
    return path not in pictures and any(
        classes[name] > 1 for name in below if (*path, name) in pictures
    )


def _is_vehicle(
    path: Folders, pictures: Mapping[Folders, int], children: Mapping[Folders, set[str]]
) -> bool:
    """Return whether a folder `train` beside folders of pictures is a class as they are."""
    beside = [name for name in children[path[:-1]] if (*path[:-1], name) in pictures]
    return path[-1].lower() == "train" and len(beside) > 2
