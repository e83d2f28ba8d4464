"""What each real file should be answered; `tests/support/real_files.py` says what they are."""

from importlib.util import find_spec

from tests.support.real_files import Answered, Ready, RealFile, Refused

KERAS = "derived/npz_keras_layout.npz"
KAGGLE = "derived/csv_kaggle.csv"
PLAIN = "derived/zip_plain.zip"
BANGLA = ("npz/cmaterdb/bangla-training-images.npz", "npz/cmaterdb/bangla-testing-images.npz")
DEVANAGARI = tuple(path.replace("bangla", "devanagari") for path in BANGLA)
TELUGU = tuple(path.replace("bangla", "telugu") for path in BANGLA)
GREYS_ON_WHITE = {"inverted": 1, "grey_in_color": 1}
CLOTHES = ("Ankle boot", "Bag", "Coat")
FASHION = Ready(10, (300, 100), like=KERAS)
TABLE = Ready(10, 40, like=KAGGLE)
FOLDERS = Ready(10, 60, like=PLAIN, first=CLOTHES)
IDX = tuple(
    f"derived/idx/{split}-{role}.gz"
    for split in ("train", "t10k")
    for role in ("images-idx3-ubyte", "labels-idx1-ubyte")
)

ARRAYS = [
    RealFile(
        "MNIST's test files",
        Ready(10, 10_000, input="digit", told="t10k|test"),
        ("idx/mnist/t10k-images-idx3-ubyte.gz", "idx/mnist/t10k-labels-idx1-ubyte.gz"),
    ),
    RealFile(
        "ten digits in IDX",
        Refused("too few images to test"),
        ("idx/ten_kowaine/t10k-images-idx3-ubyte", "idx/ten_kowaine/t10k-labels-idx1-ubyte"),
    ),
    RealFile(
        "ten digits in IDX, packed",
        Refused("too few images to test"),
        ("idx/ten_kowaine/t10k-images-idx3-ubyte.gz", "idx/ten_kowaine/t10k-labels-idx1-ubyte.gz"),
    ),
    RealFile("idx/ten_kowaine/batches.meta.txt", Refused("")),
    RealFile("idx/qmnist_labels/qmnist-train-labels-idx2-int.gz", Refused(r"int32 \(60000, 8\)")),
    RealFile(
        "MNIST's images with QMNIST's labels",
        Refused(r"int32 \(60000, 8\).*one number"),
        (
            "idx/mnist/t10k-images-idx3-ubyte.gz",
            "idx/qmnist_labels/qmnist-train-labels-idx2-int.gz",
        ),
    ),
    RealFile("four IDX files", FASHION, IDX),
    RealFile(
        "IDX with 7-Zip's dot in its name",
        Ready(10, 300),
        ("derived/idx/train-images.idx3-ubyte", IDX[1]),
    ),
    RealFile(
        "IDX with its lowest bytes first",
        Refused("byte"),
        ("derived/idx/train-images-idx3-ubyte.swapped", IDX[1]),
    ),
    RealFile("derived/idx/header_says_more", Refused("4,?000,?000,?000|bytes follow")),
    RealFile("derived/idx/twice.gz.gz", Refused("gzip twice")),
    RealFile(KERAS, Ready(10, (300, 100), first=("0", "1", "2"))),
    RealFile("derived/npz_capital_X_int64.npz", FASHION),
    RealFile("derived/npz_channel_first_1.npz", FASHION),
    RealFile("derived/npz_channel_last_1.npz", FASHION),
    RealFile("derived/npz_float01.npz", FASHION),
    RealFile("derived/npz_float0_255.npz", FASHION),
    RealFile("derived/npz_fortran_order.npz", FASHION),
    RealFile("derived/npz_one_hot.npz", FASHION),
    RealFile("derived/npz_big_endian_u2.npz", FASHION),
    RealFile("derived/npz_bool_pixels.npz", Ready(10, (300, 100))),
    RealFile("derived/npz_labels_1_to_10.npz", Ready(10, (300, 100), first=("1", "2", "3"))),
    RealFile(
        "derived/npz_string_labels.npz", Ready(10, (300, 100), first=("Ankle boot", "Bag", "Coat"))
    ),
    RealFile("derived/npz_medmnist_layout.npz", Ready(10, (250, 50, 100))),
    RealFile(
        "derived/npz_class_missing_in_train.npz",
        Ready(10, (275, 100), warnings={"missing_in_train": 1}),
    ),
    RealFile("derived/npz_images_labels_no_split.npz", Ready(10, 300)),
    RealFile(
        "derived/npz_arr_0_arr_1.npz", Ready(10, 300, like="derived/npz_images_labels_no_split.npz")
    ),
    RealFile(
        "derived/npz_data_target_sklearn.npz", Ready(10, 300, first=("T-shirt/top", "Trouser"))
    ),
    RealFile("derived/npz_test_only.npz", Ready(10, 100, told="x_test")),
    RealFile("derived/npz_standardised.npz", Refused("option `range`")),
    RealFile(
        "derived/npz_standardised.npz with its range",
        FASHION,
        ("derived/npz_standardised.npz",),
        {"range": [-0.2860 / 0.3530, (1 - 0.2860) / 0.3530]},
    ),
    RealFile("derived/npz_nan_pixels.npz", Refused("x_train.*row 0.*finite|no finite")),
    RealFile("derived/npz_rows_do_not_match.npz", Refused("300 images.*299 labels")),
    RealFile("derived/npz_pickled_ragged.npz", Refused("numpy.stack")),
    RealFile("derived/npz_bomb.npz", Refused("too_large")),
    RealFile(
        "CMATERdb's Bangla digits",
        Ready(10, (5000, 1000), (32, 32), warnings={**GREYS_ON_WHITE, "leak": 7}),
        BANGLA,
    ),
    RealFile(
        "CMATERdb's Devanagari digits",
        Ready(10, (2500, 500), (32, 32), warnings={**GREYS_ON_WHITE, "leak": 14, "two_labels": 1}),
        DEVANAGARI,
    ),
    RealFile(
        "CMATERdb's Telugu digits",
        Ready(10, (2500, 500), (32, 32), warnings={**GREYS_ON_WHITE, "leak": 3}),
        TELUGU,
    ),
]

BROKEN = [
    RealFile(
        "broken/truncated_kmnist/t10k-images-idx3-ubyte.gz", Refused("ends (too early|before)")
    ),
    RealFile("broken/lfs_pointer/mnist_test.csv", Refused("Git LFS pointer.*git lfs pull")),
    *(
        RealFile(f"broken/numpy_pickles/{name}", Refused("pickle"))
        for name in (
            "py2-np0-objarr.npy",
            "py2-objarr.npy",
            "py2-objarr.npz",
            "py3-objarr.npy",
            "py3-objarr.npz",
        )
    ),
    RealFile("broken/numpy_pickles/python3.npy", Refused("")),
    RealFile("broken/numpy_pickles/win64python2.npy", Refused("")),
    RealFile("mat/omniglot_items_classification.mat", Refused(r"scipy.io.*numpy.savez")),
    RealFile("derived/sevenzip.7z", Refused("7-Zip.*py7zr")),
    RealFile("zip/shapes_es/LICENSE", Refused("")),
]

TABLES = [
    RealFile(
        "csv/mnist_small/mnist_small.csv",
        Ready(10, 1000, input="digit", first=("0", "1", "2")),
    ),
    RealFile("csv/semeion_clean/semeion.data", Ready(10, 1593, (16, 16), told="one.hot")),
    RealFile("csv/tabular/penguins.csv", Refused("island.*no numbers")),
    RealFile(KAGGLE, Ready(10, 40)),
    *(
        RealFile(f"derived/csv_{name}", TABLE)
        for name in (
            "bom.csv",
            "crlf.csv",
            "float01.csv",
            "float_labels.csv",
            "gz.csv.gz",
            "no_header.csv",
            "quoted_all.csv",
            "semicolon_decimal_comma.csv",
            "tabs.csv",
            "utf16.csv",
        )
    ),
    RealFile(
        "derived/csv_with_index.csv", Ready(10, 40, like=KAGGLE, warnings={"index_column": 1})
    ),
    RealFile("derived/csv_label_last_names.csv", Ready(10, 40, first=("Ankle boot", "Bag"))),
    RealFile("derived/csv_missing_cells.csv", Refused("line 5.*line 9")),
    RealFile("derived/csv_out_of_range.csv", Refused("256|-1")),
    RealFile("derived/csv_ragged.csv", Refused("line 11.*786.*line 21.*782")),
    RealFile("derived/jsonl.jsonl", Ready(9, 20, first=("Ankle boot", "Coat"))),
    RealFile("json/cazala/0.json", Refused("label")),
    RealFile(
        "parquet/hf_mnist/test-00000-of-00001.parquet",
        Ready(10, 10_000, input="digit", like="MNIST's test files")
        if find_spec("pyarrow")
        else Refused(r"mlp-service\[parquet\].*read_parquet"),
    ),
]

ARCHIVES = [
    RealFile(PLAIN, Ready(10, 60, first=CLOTHES)),
    RealFile("derived/zip_no_top_folder.zip", FOLDERS),
    RealFile("derived/zip_stored_no_dir_entries.zip", FOLDERS),
    RealFile("derived/zip_backslashes.zip", FOLDERS),
    RealFile(
        "derived/zip_splits_training_validation_testing.zip",
        Ready(10, (60, 30, 40), first=CLOTHES),
    ),
    RealFile(
        "derived/zip_messy.zip",
        Refused("Bag/(broken|empty).png.*Bag/(broken|empty).png"),
    ),
    RealFile("derived/zip_in_zip.zip", Refused("")),
    RealFile("derived/zip_of_idx_gz.zip", FASHION),
    RealFile("derived/zip_encrypted.zip", Refused("encrypted")),
    RealFile("derived/zip_aes256.zip", Refused("encrypted")),
    RealFile("derived/zip_lzma.zip", Ready(1, 3)),
    RealFile("derived/zip_from_pipe.zip", Refused("")),
    RealFile("derived/zip_png_bomb.zip", Refused("Bag/huge.png.*16,000,000")),
    RealFile("derived/zip_same_name_twice.zip", Refused("too few images")),
    RealFile("derived/zip_slip.zip", Answered()),
    RealFile("derived/zip_symlink.zip", Refused("link.png.*a link")),
    RealFile("derived/tar_symlink.tar.gz", Refused("link.png.*a link")),
    RealFile("derived/tar_hardlink.tar.gz", Answered()),
    RealFile("derived/tar_plain.tar", Ready(1, 3)),
    RealFile("derived/tar_dotdot.tar", Answered()),
    RealFile("derived/tar_xz.tar.xz", Refused("packed with xz")),
    RealFile(
        "folders/gujarati",
        Ready(10, (1000, 100), warnings={"leak": 100, "inverted": 1}, first=("0", "1")),
    ),
    RealFile("folders/ten_kowaine", Refused("too few images to test")),
    RealFile("folders/sign_digits", Ready(10, 120, (100, 100), first=("0", "1"))),
    RealFile(
        "sign digits, in colour",
        Ready(10, 120, (100, 100, 3)),
        ("folders/sign_digits",),
        {"color": "keep"},
    ),
    RealFile("zip/shapes_es/shapes.zip", Ready(3, 60, (200, 200), told="no class|without a class")),
    RealFile("zip/omniglot/images_background_small1.zip", Refused("character01.*path")),
    RealFile(
        "Omniglot by path",
        Ready(136, 2720, (105, 105), first=("Balinese/character01",)),
        ("zip/omniglot/images_background_small1.zip",),
        {"label": "path"},
    ),
    RealFile(
        "tar/printed_digits/printed-digits-dataset.tar.gz",
        Ready(
            11,
            6301,
            warnings={"rare_class": None, "blank": 175, "duplicates": None},
            first=tuple(map(str, range(11))),
        ),
    ),
    RealFile("tar/not_notmnist/hiragana.tar.gz", Ready(40, 320, (100, 100), told="special_あ")),
    *(
        RealFile(f"zip/go_testdata/{name}", Refused(""))
        for name in (
            "comment-truncated.zip",
            "crc32-not-streamed.zip",
            "dupdir.zip",
            "readme.notzip",
            "subdir.zip",
            "symlink.zip",
            "test-badbase.zip",
            "test-baddirsz.zip",
            "test-prefix.zip",
            "test-trailing-junk.zip",
            "utf8-7zip.zip",
            "utf8-osx.zip",
            "utf8-winrar.zip",
            "utf8-winzip.zip",
            "winxp.zip",
            "zip64-2.zip",
            "zip64.zip",
        )
    ),
    *(
        RealFile(f"tar/go_testdata/{name}", Refused(""))
        for name in (
            "gnu-multi-hdrs.tar",
            "gnu-not-utf8.tar",
            "gnu-sparse-big.tar",
            "hardlink.tar",
            "issue10968.tar",
            "neg-size.tar",
            "pax-nul-path.tar",
            "pax-path-hdr.tar",
            "trailing-slash.tar",
            "ustar-file-devs.tar",
            "writer-big.tar",
        )
    ),
]

REAL_FILES = {file.name: file for file in [*ARRAYS, *BROKEN, *TABLES, *ARCHIVES]}
