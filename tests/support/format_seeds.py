"""Small valid uploads of every format, which tests change at random."""

import csv
import gzip
import importlib.util
import io
import json
import tarfile
import zipfile
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.ingest_files import idx
from tests.support.packed_pictures import Entry, picture, zip_bytes

Values = NDArray[Any]
PIXELS = np.random.default_rng(3).integers(0, 256, (6, 3, 3), np.uint8)
LABELS = np.arange(6, dtype=np.uint8) % 2
FILES = {
    "data/train/a/1.png": picture(1, 8, 8),
    "data/train/b/2.png": picture(2, 8, 8),
    "data/test/a/3.jpg": picture(3, 8, 9, format="JPEG"),
    "data/labels.csv": b"file,label,split\n1.png,x,train\n2.png,y,train\n3.jpg,x,test\n",
    "data/labels.json": b'[{"file": "1.png", "label": "x"}]',
    "data/Thumbs.db": b"system",
}
"""What archives hold."""
LONG_NAME = "a long folder/" * 10 + "4.png"
HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None


def npy(array: Values) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def table(separator: str = ",", quoting: bool = False) -> bytes:
    buffer = io.StringIO()
    rows = csv.writer(
        buffer, delimiter=separator, quoting=csv.QUOTE_ALL if quoting else csv.QUOTE_MINIMAL
    )
    rows.writerow(["label", *(f"pixel{at}" for at in range(9))])
    rows.writerows([label, *row] for label, row in zip(LABELS, PIXELS.reshape(6, 9), strict=True))
    return buffer.getvalue().encode()


def lines() -> bytes:
    """Return JSON lines."""
    pairs = zip(PIXELS.tolist(), LABELS.tolist(), strict=True)
    return "".join(json.dumps({"image": it, "label": at}) + "\n" for it, at in pairs).encode()


def zip_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        with archive.open("large/5.png", "w", force_zip64=True) as member:
            member.write(picture(5, 8, 8))
    return file.getvalue()


def tar_file(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in (FILES | {LONG_NAME: picture(4, 8, 8)}).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def coloured(format: str, **options: Any) -> bytes:
    """Return a file with a picture of noise in colours."""
    file = io.BytesIO()
    noise = np.random.default_rng(5).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(noise).save(file, format, **options)
    return file.getvalue()


ARRAYS = {
    "npz": npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS / 255, y_test=np.eye(2)[LABELS]),
    "fortran": npz(x=np.asfortranarray(PIXELS), y=LABELS.astype(str)),
    "names": npz(data=PIXELS, target=LABELS, target_names=np.array(["a", "b"])),
}
PAIRS = {
    "idx": (idx(PIXELS), idx(LABELS)),
    "packed": (gzip.compress(idx(PIXELS)), gzip.compress(idx(LABELS))),
    "npy": (npy(PIXELS), npy(LABELS)),
}
"""Files of pixels and of labels."""
TABLES = {
    "csv": table(),
    "quoted": table(";", quoting=True),
    "tabs": table("\t").replace(b"\r\n", b"\t\r\n"),
    "utf16": table().decode().encode("utf-16"),
    "packed": gzip.compress(table()),
    "packed pixels": b"emotion,pixels,Usage\n1,9 8 7 6,Training\n0,1 2 3 255,PublicTest\n",
    "measures": b"length,width,species\n5.1,3.5,setosa\n-6.2,2.9,rose\n7,3,rose\n",
}
ARCHIVES = {
    "zip": zip_file(),
    "stored": zip_bytes([Entry(name.encode(), data) for name, data in FILES.items()], comment=b"x"),
    "gnu tar": tar_file(tarfile.GNU_FORMAT),
    "pax tar": tar_file(tarfile.PAX_FORMAT),
}
PICTURES = {
    **{form: picture(3, 8, 8, format=form) for form in ("PNG", "JPEG", "GIF", "TIFF", "PPM")},
    "RGB": coloured("PNG"),
    "WEBP": coloured("WEBP"),
    "BMP": coloured("BMP"),
    "packed TIFF": coloured("TIFF", compression="tiff_lzw"),
    "progressive": coloured("JPEG", progressive=True),
    "AVIF": coloured("AVIF", speed=10),
}


@cache
def parquet_files() -> dict[str, bytes]:
    """Return Parquet files of pixels and of pictures, in several forms; pyarrow must be there."""
    import pyarrow
    from pyarrow import parquet

    images = [{"bytes": it, "path": None} for it in (picture(1, 8, 8), picture(2, 8, 8)) * 3]
    pixels = pyarrow.table({"image": PIXELS.tolist(), "label": LABELS.tolist()})
    pictures = pyarrow.table({"image": images, "label": LABELS.tolist()})

    def written(table: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, **options)
        return buffer.getvalue()

    return {
        "pixels": written(pixels),
        "plain": written(pixels, use_dictionary=False, compression="none"),
        "pictures": written(pictures, compression="zstd"),
        "groups": written(pictures, row_group_size=2, data_page_version="2.0"),
    }
