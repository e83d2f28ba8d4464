"""The words by which people name splits: of files, arrays, columns and folders."""

import re

WORDS_OF_SPLITS = {
    "train": {"train", "training", "tr"},
    "validation": {"validation", "valid", "val", "dev", "publictest"},
    "test": {"test", "testing", "eval", "evaluation", "t10k", "te", "privatetest"},
}
NEVER_OF_FOLDERS = {"tr", "te", "t10k", "publictest", "privatetest"}
"""A folder `te` holds a class, such as a syllable."""
FOLDER_SPLITS = {
    word: split for split, words in WORDS_OF_SPLITS.items() for word in words - NEVER_OF_FOLDERS
}
"""The split that each word means in the name of a folder."""
SPLIT_COLUMNS = ("split", "set", "subset", "usage", "ml_use", "partition")
"""The names of columns that say the split of each row, in the order in which they are taken."""
LETTERS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
ANY_WORD = "|".join(sorted({word for words in WORDS_OF_SPLITS.values() for word in words}, key=len))
LETTER_FIRST = re.compile(rf"([xy])({ANY_WORD})", re.IGNORECASE)
LETTER_LAST = re.compile(rf"({ANY_WORD})([xy])", re.IGNORECASE)


def split_named(word: str) -> str | None:
    """Return the split that a word means, in any case; None if it means none."""
    return next((split for split, words in WORDS_OF_SPLITS.items() if word.lower() in words), None)


def split_in(name: str) -> str | None:
    """Return the split that a word within a name means, as in `train-images-idx3-ubyte`."""
    return next((split for word in words_of(name) if (split := split_named(word))), None)


def words_of(name: str) -> list[str]:
    """Return the words within a name: `X_train`, `xTrain` and `Xtrain` have the same ones."""
    stem = name.rsplit("/", 1)[-1]
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", stem)
    words = [word for word in re.split(r"[\W_]+", spaced) if word]
    return [part.lower() for word in words for part in _parted(word)]


def _parted(word: str) -> tuple[str, ...]:
    found = LETTER_FIRST.fullmatch(word) or LETTER_LAST.fullmatch(word)
    return found.groups() if found else (word,)


def split_of_folder(name: str) -> str | None:
    """Return the split that one of the words in the name of a folder means, as in `test_images`."""
    splits = (FOLDER_SPLITS.get(word.lower()) for word in LETTERS.findall(name))
    return next((split for split in splits if split), None)


def without_split(name: str) -> str:
    """Return the name of a folder with a star in place of the first word that names a split."""
    found = (word for word in LETTERS.findall(name) if word.lower() in FOLDER_SPLITS)
    return name.replace(next(found, ""), "*", 1).lower()
