"""Print what real files should be answered, and what they are: `python -m benchmarks.real_files`.

The folder of the files is the argument; by default it is the one beside the project that the tests
use. After the files comes the table of what other programs do with some of them.
"""

import sys
import time
from pathlib import Path

from tests.support.expected_answers import REAL_FILES
from tests.support.real_files import FOLDER, RealFiles

PEERS = (
    (
        "folders/gujarati",
        "10 classes, 1000 + 100",
        "11 with `test`; 1100",
        "the same",
        "only the 100 of test/; 1000 lost without a word",
    ),
    (
        "derived/zip_splits_training_validation_testing.zip",
        "10 classes; 60/30/40",
        "3 classes",
        "3 classes",
        "right",
    ),
    (
        "Omniglot by path",
        "136 classes",
        "5 (alphabets)",
        "5",
        "40 (characterNN of all alphabets merged)",
    ),
    (
        "tar/printed_digits/printed-digits-dataset.tar.gz",
        "11 classes, 0 … 10",
        "order 0, 1, 10, 2 …",
        "the same",
        "the same",
    ),
    (
        "derived/zip_messy.zip",
        "10 classes",
        "FileNotFoundError: empty class",
        "11 classes, one of them empty",
        "50 rows, 10 classes",
    ),
    (
        "derived/zip_backslashes.zip",
        "10 classes",
        "no class folder",
        "0 files",
        "60 rows, no labels",
    ),
    (
        "derived/zip_plain.zip",
        "10 classes",
        "takes no archive",
        "takes no archive",
        "ValueError: Invalid string class label",
    ),
    ("derived/csv_no_header.csv", "40 rows", "-", "-", "39 rows; the first one names the columns"),
)
"""An upload, the truth, and what torchvision 0.29.1, Keras and datasets 5.2.0 make of it."""


def main() -> int:
    """Print both tables; return the number of answers that are not the expected ones."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    files = RealFiles(folder, REAL_FILES)
    wrong = 0
    print("|   | file | expected | given | s |\n|---|---|---|---|---|")
    for name, file in REAL_FILES.items():
        started = time.perf_counter()
        differences = files.differences(name)
        seconds = time.perf_counter() - started
        wrong += bool(differences)
        given = "; ".join([str(files.outcome(name)), *differences]).replace("\n", " ")
        print(
            f"| {'-' if differences else '+'} | {name} | {file.answer} | {given} | {seconds:.2f} |"
        )
    print(f"\n{len(REAL_FILES) - wrong} of {len(REAL_FILES)} answers are the expected ones.\n")
    print("| input | truth | torchvision | Keras | datasets | this service |")
    print("|---|---|---|---|---|---|")
    for name, *facts in PEERS:
        print(f"| {name} | {' | '.join(facts)} | {files.outcome(name)} |")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main()))
